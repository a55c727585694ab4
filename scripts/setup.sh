#!/bin/sh
# Build the environment: setup.sh PYTHON VENV. Run by `make`, again only when pyproject.toml changes.
set -eu
python=$1
venv=$2

for candidate in "$python" python3.11 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        found=$candidate
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "setup: no Python 3.11 found (Blender's module needs exactly this version)." >&2
    echo "       Install it, or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi

# A broken or foreign environment is built anew; a sound one is only brought up to date.
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    rm -rf "$venv"
    "$found" -m venv "$venv"
fi
echo "setup: installing semforge and its dependencies into $venv (about 7 GB, some minutes)"
"$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off -q -e '.[dev]'

# Blender links a few X11 and OpenGL libraries even without a display.
libraries="libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libgl1"
if ! "$venv/bin/python" -c 'import bpy' >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing system libraries for Blender: $libraries"
        apt-get update -q && apt-get install -q -y --no-install-recommends $libraries
    fi
    if ! "$venv/bin/python" -c 'import bpy'; then
        echo "setup: Blender's module cannot be imported; on Debian or Ubuntu: sudo apt-get install $libraries" >&2
        exit 1
    fi
fi
