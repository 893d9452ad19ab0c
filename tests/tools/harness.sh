#!/usr/bin/env bash
# Makes the virtual environment in which lm-eval's tests run: what images/harness/cpu.lock has beyond the usual one, by
# hash, in front of the usual one. So nobody carries 15,000 files of tasks who does not ask for them.
#
#   tests/tools/harness.sh FOLDER USUAL        needs uv; USUAL is the virtual environment that `make` makes
set -euo pipefail

folder=${1:?usage: $0 FOLDER USUAL}
unset CDPATH # by which cd goes elsewhere, and says where
usual=$(cd "${2:?usage: $0 FOLDER USUAL}" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
[[ -z $index || -n ${UV_DEFAULT_INDEX:-} ]] || export UV_DEFAULT_INDEX=$index
export UV_LINK_MODE=${UV_LINK_MODE:-copy} UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=$folder
lock=$(mktemp)
trap 'rm -f "$lock"' EXIT

uv venv --quiet --allow-existing --python "$usual/bin/python" "$folder"
"$usual/bin/python" - "$root/images/harness/cpu.lock" >"$lock" <<'PYTHON'
import importlib.metadata
import re
import sys
from pathlib import Path

here = {re.sub(r"[-_.]+", "-", each.name).lower() for each in importlib.metadata.distributions()}
for pin in re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", Path(sys.argv[1]).read_text(), re.MULTILINE | re.DOTALL):
    if pin.split("==")[0] not in here:
        print(pin, end="")
PYTHON
uv pip install --quiet --no-deps --require-hashes --build-constraints "$root/images/build.lock" --require-build-hashes \
    --requirement "$lock"
# Of a folder that is only named, the files that name others (an editable alma) would not be read.
"$usual/bin/python" -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
    >"$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/usual.pth"
