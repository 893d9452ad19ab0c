"""A run file's pipeline as plain ``kfp dsl compile --py pipelines/run_file_pipeline.py --output alma.yaml`` takes it.

The run file is that which ``ALMA_RUN_FILE`` names (default: the micro run). ``python -m pipelines compile`` does the
same for any run file, checks the result by the backend's rules and says how large it is.
"""

import os
import sys
from pathlib import Path

# kfp imports this file by its bare name, so it cannot be called alma, and knows nothing of the repository's root.
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(ROOT))

from pipelines.compile import trace  # noqa: E402

RUN_FILE = Path(os.environ.get("ALMA_RUN_FILE") or ROOT / "examples" / "micro.toml")

pipeline = trace(RUN_FILE)
