#!/bin/sh
# Usage: tools/venv.sh STAMP [EXTRA]
# Creates .venv if it is not there, installs the tree into it (editable, with the named extra), and touches STAMP,
# which the Makefile compares with pyproject.toml. Says in one line what the system lacks.
set -eu
stamp=$1
extra=${2:+[$2]}
python=${PYTHON:-python3}

missing() {
    echo "strata: $1. On Debian 12: apt-get install $2" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || missing "$python is not installed" "python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    missing "$python is older than 3.11 (name another one with PYTHON=...)" "python3 python3-venv"
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing "$python has no venv module" "python3-venv"

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "strata: installing${2:+ the $2 extra} into .venv" >&2
# --no-compile: byte-compiling all of numba costs more than compiling the part that is imported.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".$extra" || {
    echo "strata: pip could not install the packages that pyproject.toml names (its message is above)" >&2
    exit 1
}
touch "$stamp"
