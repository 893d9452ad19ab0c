#!/usr/bin/env bash
# Builds images with podman. (With Docker: docker buildx bake --file images/docker-bake.hcl)
#
#   images/build.sh [--cpu] [base|trl|vllm|harness|submit]...     all five if none is named
#
# --cpu builds trl, vllm and harness with PyTorch's CPU build, tagged VERSION-cpu: for tests and laptops.
# The names of what was built are written to standard output, one per line; all else goes to standard error.
#
# Environment
#   REGISTRY      before the images' names, alma-base and so on (localhost)
#   VERSION       the tag (alma's version)
#   PYTHON_IMAGE  what to build on (the Dockerfile's default)
#   INDEX         file of NAME=value lines for pip and uv, read by the build and kept nowhere
#   WHEELS        folder that holds the CPU wheel of torch (pip's find-links, if that is a folder; else PyTorch's page)
#   PYTHON        a Python with pip, whose index-url, cert and find-links the build uses too (python3)
set -euo pipefail
# What is named from where we are called.
[[ -z ${INDEX:-} ]] || INDEX=$(realpath -- "$INDEX")
[[ -z ${WHEELS:-} || -d $WHEELS ]] || { echo "$0: WHEELS=$WHEELS: no folder is there" >&2; exit 2; }
[[ -z ${WHEELS:-} ]] || WHEELS=$(realpath -- "$WHEELS")
unset CDPATH # by which cd goes elsewhere, and says where
cd "$(dirname "$0")/.."

variant=gpu
images=()
for argument in "$@"; do
    case "$argument" in
        --cpu) variant=cpu ;;
        base | trl | vllm | harness | submit) images+=("$argument") ;;
        *) echo "$0: $argument: expected --cpu, base, trl, vllm, harness or submit" >&2; exit 2 ;;
    esac
done
[[ ${#images[@]} -gt 0 ]] || images=(base trl vllm harness submit)

# pip_setting index-url: from PIP_INDEX_URL, else from pip's files; empty if nowhere.
pip_setting() {
    local variable=PIP_${1^^}
    variable=${variable//-/_}
    echo "${!variable:-$("${PYTHON:-python3}" -m pip config get "global.$1" 2>/dev/null || true)}"
}

registry=${REGISTRY:-localhost}
version=${VERSION:-$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' alma/__init__.py)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
wheels=${WHEELS:-$(pip_setting find-links)}
authorities=$(pip_setting cert)
mirror=$(pip_setting index-url)

index=$(mktemp)
trap 'rm -f "$index"' EXIT
[[ -z ${INDEX:-} ]] || cat "$INDEX" >"$index"
[[ -z $mirror ]] || printf "PIP_INDEX_URL='%s'\nUV_DEFAULT_INDEX='%s'\n" "$mirror" "$mirror" >>"$index"

for image in "${images[@]}"; do
    name=$registry/alma-$image:$version
    # The host's network: the one that is sure to reach the package indexes.
    options=(--network host --secret "id=index,src=$index" --ignorefile "images/$image/Dockerfile.dockerignore")
    options+=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision")
    [[ -z ${PYTHON_IMAGE:-} ]] || options+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
    [[ -z $authorities ]] || options+=(--secret "id=ca,src=$authorities")
    if [[ $image == trl || $image == vllm || $image == harness ]]; then
        options+=(--build-arg "VARIANT=$variant")
        if [[ $variant == cpu ]]; then
            name+=-cpu
            [[ ! -d $wheels ]] || options+=(--volume "$wheels:/mnt:ro" --build-arg TORCH_CPU=/mnt)
        fi
    fi
    podman build "${options[@]}" --tag "$name" --file "images/$image/Dockerfile" . >&2
    echo "$name"
done
