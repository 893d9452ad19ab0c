#!/usr/bin/env bash
# Writes the lock files of the images from pyproject.toml, constraints.txt and what each image adds (*.in); hashes included.
#
#   images/lock.sh             what changed in those files, and no more
#   images/lock.sh --upgrade   the newest versions that constraints.txt allows
#   images/lock.sh --check     exit 1 and show the difference if a lock file is not what this would write
#
# Only metadata is fetched, but for the CPU build of torch, which lies outside PyPI. Environment: UV, the uv to run;
# TORCH_CPU, where that wheel is: a folder, or a page of links (default: PyTorch's).
set -euo pipefail
# What is named from where we are called.
[[ ! -d ${TORCH_CPU:-} ]] || TORCH_CPU=$(realpath -- "$TORCH_CPU")
unset CDPATH # by which cd goes elsewhere, and says where
cd "$(dirname "$0")/.."

uv=${UV:-uv}
torch_cpu=${TORCH_CPU:-https://download.pytorch.org/whl/cpu/torch/}
check=
upgrade=()
case "${1:-}" in
    --check) check=1 ;;
    --upgrade) upgrade=(--upgrade) ;;
    "") ;;
    *) echo "$0: $1: expected --check, --upgrade or nothing" >&2; exit 2 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
stale=0

# lock FILE ARGUMENT...: the versions already in FILE stay where they are still allowed.
lock() {
    local file=$1 new=$scratch/${1//\//-}
    shift
    [[ ! -f $file ]] || cp "$file" "$new"
    # bookworm's glibc is 2.36. Wheels only: source distributions would run code of their own in the build.
    "$uv" pip compile --quiet --generate-hashes --annotation-style line --custom-compile-command images/lock.sh \
        --python-version 3.11 --python-platform x86_64-manylinux_2_36 --only-binary :all: --no-config \
        "${upgrade[@]}" "$@" --output-file "$new"
    if [[ -z $check ]]; then
        cp "$new" "$file"
    elif ! diff --unified "$file" "$new"; then
        echo "$file is out of date: images/lock.sh" >&2
        stale=1
    fi
}

alma=(pyproject.toml --constraints constraints.txt)
lock images/build.lock images/build.in
lock images/base/cpu.lock "${alma[@]}" images/base/base.in
# kfp and its API client are published as source only; build.lock holds what builds them.
lock images/submit/cpu.lock "${alma[@]}" images/submit/submit.in --no-binary kfp --no-binary kfp-server-api \
    --build-constraints images/build.lock
# DeepSpeed too is published as source only.
train=(--extra torch --extra deepspeed --no-binary deepspeed --build-constraints images/build.lock)
lock images/trl/gpu.lock "${alma[@]}" "${train[@]}"
lock images/vllm/gpu.lock "${alma[@]}" "${train[@]}" images/vllm/gpu.in
# So are some of what lm-eval counts with.
harness=(--extra torch --extra harness --build-constraints images/build.lock)
for name in rouge-score sqlitedict word2number langdetect antlr4-python3-runtime; do
    harness+=(--no-binary "$name")
done
lock images/harness/gpu.lock "${alma[@]}" "${harness[@]}" images/harness/gpu.in
# Last, since uv fails where it cannot read that page: the others are checked by then.
lock images/trl/cpu.lock "${alma[@]}" "${train[@]}" --find-links "$torch_cpu"
lock images/harness/cpu.lock "${alma[@]}" "${harness[@]}" --find-links "$torch_cpu"
lock images/vllm/cpu.lock "${alma[@]}" "${train[@]}" images/vllm/cpu.in --find-links "$torch_cpu" \
    --excludes images/vllm/cpu.excludes
exit $stale
