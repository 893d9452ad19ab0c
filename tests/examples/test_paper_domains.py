"""The two domains of ISARA's transfer experiments: what their script gives, and apart."""

import importlib.util
import json
from pathlib import Path


def test_the_domains_of_the_papers_experiments_are_what_their_script_gives():
    folder = Path(__file__).parents[2] / "examples" / "paper"
    spec = importlib.util.spec_from_file_location("domains", folder / "domains.py")
    domains = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(domains)
    files = domains.files()
    written = {
        name: [json.loads(line) for line in (folder / "domains" / name).read_text(encoding="utf-8").splitlines()]
        for name in files
    }
    assert written == files
    assert {path.name for path in (folder / "domains").iterdir()} == set(files)
    asked = [{row["prompt"] for row in files[name]} for name in files if name != "seeds-mixed.jsonl"]
    assert sum(map(len, asked)) == len(set.union(*asked))
