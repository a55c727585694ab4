#!/bin/sh
# Install what the tests of pages need on Debian or Ubuntu, as root: a browser, a font, and what reads a printed page.
# Does nothing where all is there.
set -eu
packages="chromium fonts-liberation poppler-utils"

missing=""
for package in $packages; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "install_chromium: not installed:$missing; run this as root" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "install_chromium: needs apt-get (Debian or Ubuntu) to install:$missing" >&2
    exit 1
fi

echo "install_chromium: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends $missing
