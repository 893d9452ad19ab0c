#!/usr/bin/env bash
# Finds a kubectl that knows kustomize's components, or puts one into a folder; prints its path.
#
#   tests/tools/kubectl.sh FOLDER
#
# It is taken from Debian 13 by apt, which checks signatures, with package lists of its own: nothing of this machine's
# packages changes. Debian 12's own is 1.20, too old; this one is linked to glibc alone and runs there.
set -euo pipefail

folder=${1:?usage: $0 FOLDER}
for found in "$folder/kubectl" "$(command -v kubectl || true)"; do
    # From 1.24 on it tells its kustomize's version; components came with 3.7.
    if [[ -x $found ]] && "$found" version --client 2>/dev/null | grep --quiet 'Kustomize Version: v[4-9]'; then
        echo "$found"
        exit
    fi
done

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$folder"
cat >"$work/debian.sources" <<'SOURCES'
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
options=(
    -o "Dir::Etc::sourcelist=$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3
)
apt-get "${options[@]}" --quiet update >&2
(cd "$work" && apt-get "${options[@]}" --quiet download kubectl/trixie) >&2
dpkg-deb --extract "$work"/kubectl_*.deb "$work/kubectl"
install "$work/kubectl/usr/bin/kubectl" "$folder/kubectl"
"$folder/kubectl" version --client >&2
echo "$folder/kubectl"
