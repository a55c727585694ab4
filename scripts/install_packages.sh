#!/bin/sh
# install_packages.sh PACKAGE...: Debian or Ubuntu packages that tests need, as root. Does nothing where all are there.
# No daemon is started.
set -eu

missing=""
for package; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "install_packages: not installed:$missing; run this as root" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "install_packages: needs apt-get (Debian or Ubuntu) to install:$missing" >&2
    exit 1
fi

# Packages ask this file whether they may start their daemons; 101 is no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
echo "install_packages: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends $missing
