#!/bin/sh
# Runs inside a build, never in an image that is kept.
#
#   install.sh tools                  uv and setuptools into /build/venv, by the hashes of build.lock
#   install.sh packages LOCK          exactly what LOCK names into /opt/alma, a virtual environment without pip;
#                                     torch and CUDA under /torch/opt/alma
#   install.sh alma                   the wheel of /build/source, installed under /alma as it is to lie in /opt/alma
#
# The first two read two secrets of the build, if they are given and not empty; neither stays in a layer:
#   index   lines NAME=value for pip and uv: PIP_INDEX_URL and UV_DEFAULT_INDEX of a mirror, with its password, say
#   ca      certificate authorities (PEM) in place of the image's own
set -eu

if [ -s /run/secrets/index ]; then
    set -a
    . /run/secrets/index
    set +a
fi
authorities=/etc/ssl/certs/ca-certificates.crt
[ ! -s /run/secrets/ca ] || authorities=/run/secrets/ca
[ ! -f $authorities ] || export PIP_CERT=$authorities SSL_CERT_FILE=$authorities
export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never PIP_DISABLE_PIP_VERSION_CHECK=1

case "$1" in
tools)
    python3 -m venv /build/venv
    /build/venv/bin/pip install --quiet --no-deps --require-hashes --only-binary :all: --requirement /build/build.lock
    ;;
packages)
    python3 -m venv --without-pip /opt/alma
    # TORCH_CPU: PyTorch's page of CPU builds, or a folder; the hashes decide what is taken from it. A GPU build has
    # no use for it, and must not fail where that page is out of reach.
    case "$2" in
    */cpu.lock) [ -n "${UV_FIND_LINKS:-}" ] || [ -z "${TORCH_CPU:-}" ] || export UV_FIND_LINKS="$TORCH_CPU" ;;
    esac
    # These are published as source only; build.lock holds what builds them.
    sources=
    for name in kfp kfp-server-api deepspeed rouge-score sqlitedict word2number langdetect antlr4-python3-runtime; do
        sources="$sources --no-binary $name"
    done
    # shellcheck disable=SC2086 # words
    /build/venv/bin/uv pip sync --quiet --python /opt/alma --require-hashes --compile-bytecode \
        --only-binary :all: $sources --build-constraints /build/build.lock --require-build-hashes "$2"
    # torch and CUDA lie apart, so that the image can have them in a layer of their own.
    cd /opt/alma/lib/python3*/site-packages
    mkdir -p "/torch$PWD"
    for name in nvidia torch triton; do
        [ ! -d $name ] || mv $name "/torch$PWD/"
    done
    ;;
alma)
    # A fixed date in the archive: the same source gives the same wheel.
    SOURCE_DATE_EPOCH=315532800 /build/venv/bin/uv build --quiet --offline --no-build-isolation \
        --python /build/venv/bin/python --wheel --out-dir /build/dist /build/source
    python3 -m venv --without-pip /opt/alma # its commands are to name this interpreter
    /build/venv/bin/uv pip install --quiet --offline --no-deps --compile-bytecode \
        --python /opt/alma --prefix /alma /build/dist/*.whl
    ;;
*)
    echo "$0: $1: expected tools, packages or alma" >&2
    exit 2
    ;;
esac
