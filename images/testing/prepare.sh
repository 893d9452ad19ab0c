#!/usr/bin/env bash
# Makes a Debian machine ready for the test tier `containers`; does nothing where all is there. Needs root to change anything.
#
#   podman and what it runs on   from Debian's packages
#   /etc/containers/containers.conf   only where containers start with it and not without (small virtual machines)
#   $PYTHON_IMAGE (localhost/python:3.11-slim)   Debian 12 and its Python 3.11 by debootstrap, if it is missing
#
# Exit status: 0 ready; 69 this machine cannot run containers, for the reason given (the tier is then skipped);
# anything else is a fault of this script.
set -euo pipefail

readonly UNAVAILABLE=69  # EX_UNAVAILABLE of sysexits.h
readonly CONFIGURATION=/etc/containers/containers.conf
image=${PYTHON_IMAGE:-localhost/python:3.11-slim}

say() { echo "containers: $*" >&2; }
unavailable() {
    say "NOT AVAILABLE: $*"
    say "NOT AVAILABLE: the tests of the tier 'containers' cannot run here"
    exit $UNAVAILABLE
}
is_root() { [[ $(id -u) -eq 0 ]]; }

install_packages() {
    local missing=() package
    for package in podman buildah runc netavark aardvark-dns iptables debootstrap debian-archive-keyring; do
        dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || unavailable "missing ${missing[*]}, and this is no Debian"
    is_root || unavailable "missing ${missing[*]}: run $0 as root, or apt-get install them"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update --quiet --quiet && apt-get install --yes --quiet --quiet --no-install-recommends "${missing[@]}"; } \
        >&2 || unavailable "apt-get could not install ${missing[*]}"
}

# The machine's own mirror, if it is Debian's.
mirror() {
    apt-get indextargets --format '$(SITE) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk '$3 == "bookworm" && $4 == "main" && !found++ { print $2 }' # reads to the end: a closed pipe is an error
}

make_image() {
    ! podman image exists "$image" || return 0
    [[ $image == localhost/* ]] || { podman pull --quiet "$image" >&2 || unavailable "cannot pull $image"; return 0; }
    is_root || unavailable "missing the image $image: run $0 as root, which debootstrap needs"
    local root source
    root=$(mktemp --directory)
    source=$(mirror)
    say "making $image from ${source:-Debian}'s packages"
    # The log comes with a failure only: it is long.
    if ! debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" \
        "${source:-http://deb.debian.org/debian}" >"$root.log" 2>&1; then
        tail --lines 20 "$root.log" >&2
        rm -rf "$root" "$root.log"
        unavailable "debootstrap could not make $image"
    fi
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root.log"
    tar --create --one-file-system --directory "$root" . | podman import --quiet --change 'CMD ["python3"]' - "$image" >&2
    rm -rf "$root"
}

starts() { podman run --rm --network none "$image" true 2>&1; }

make_containers_start() {
    local reason
    ! reason=$(starts) || return 0
    is_root || unavailable "podman starts no container: $reason"
    [[ ! -e $CONFIGURATION ]] || unavailable "podman starts no container, with $CONFIGURATION as it is: $reason"
    # Without CAP_SYS_RESOURCE the usual limits cannot be set, and crun gives up where runc goes on.
    printf '%s\n' '[containers]' 'default_ulimits = ["nofile=20000:20000","nproc=30000:30000"]' '[engine]' \
        'runtime = "runc"' >"$CONFIGURATION"
    if ! reason=$(starts); then
        rm "$CONFIGURATION"
        unavailable "podman starts no container, with lower limits and runc neither: $reason"
    fi
    say "wrote $CONFIGURATION: lower limits, and runc, with which containers start here"
}

install_packages
podman info >/dev/null 2>&1 || unavailable "podman info fails: $(podman info 2>&1 | tail --lines 1)"
make_image
make_containers_start
say "ready: podman $(podman version --format '{{.Client.Version}}'), $image"
