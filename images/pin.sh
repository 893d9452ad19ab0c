#!/usr/bin/env bash
# Pins what the images are built on to its digest, in the bake file and in every Dockerfile; run again, it takes the
# digest that the tag has by then. Needs a registry, and skopeo or Docker's buildx.
#
#   images/pin.sh            write the digest; git diff shows what changed
#   images/pin.sh --check    exit 1 where the tag has moved on, or nothing is pinned
set -euo pipefail
unset CDPATH # by which cd goes elsewhere, and says where
cd "$(dirname "$0")"

case "${1:-}" in
    "" | --check) ;;
    *) echo "$0: $1: expected --check or nothing" >&2; exit 2 ;;
esac

files=(docker-bake.hcl */Dockerfile)
pinned=$(sed -n '/^variable "PYTHON_IMAGE"/,/^}/s/.*default = "\(.*\)".*/\1/p' docker-bake.hcl)
tag=${pinned%%@*}

if command -v skopeo >/dev/null; then
    digest=$(skopeo inspect --raw "docker://$tag" | sha256sum | sed 's/^\([0-9a-f]*\).*/sha256:\1/')
else
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$tag")
fi
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "$0: $tag: no digest but: $digest" >&2; exit 1; }

wanted=$tag@$digest
if [[ ${1:-} == --check ]]; then
    [[ $pinned == "$wanted" ]] || { echo "$pinned is pinned, and the tag is $wanted now" >&2; exit 1; }
else
    sed -i "s|$tag\(@sha256:[0-9a-f]\{64\}\)\?|$wanted|" "${files[@]}"
fi
echo "$wanted"
