#!/bin/sh
# Make .venv with the packages of requirements-local.txt; do nothing when it already has exactly these.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/installed
wanted=$(cat requirements.txt requirements-local.txt | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

usable='import sys; sys.exit(sys.version_info < (3, 11))'
if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || ! .venv/bin/python -c "$usable"; then
    found='' # the first Python that is new enough and can make an environment
    incomplete=''
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
        "$name" -c "$usable" 2>/dev/null || continue
        if "$name" -c 'import venv, ensurepip' 2>/dev/null; then
            found=$name
            break
        fi
        incomplete=${incomplete:-$name}
    done
    if [ -z "$found" ] && [ -n "$incomplete" ]; then
        version=$("$incomplete" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "netra: $incomplete cannot make a virtual environment. On Debian or Ubuntu:" \
            "apt-get install python$version-venv" >&2
        exit 1
    elif [ -z "$found" ]; then
        echo "netra: needs Python 3.11 or newer; found none. Install one, or name it: make PYTHON=/path/to/python3" >&2
        exit 1
    fi
    echo "Making .venv with $("$found" --version)"
    "$found" -m venv --clear .venv
fi

echo 'Installing the packages (the first time this takes a minute or two)'
rm -f "$stamp"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements-local.txt
echo "$wanted" >"$stamp"
