#!/bin/sh
# Prints the Python to create `.venv` with: $PYTHON if it is set, otherwise the first suitable one on PATH.
# A name on PATH is not enough (version managers put shims there, and Debian ships Python without venv),
# so each candidate must run, and must have what `python -m venv` needs.
set -eu

candidates=${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}
newer=
without_venv=

for name in $candidates; do
    path=$(command -v "$name") || continue
    "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    if ! "$path" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        without_venv=${without_venv:-$path}
    elif "$path" -c 'import sys; sys.exit(sys.version_info >= (3, 15))'; then
        printf '%s\n' "$path"
        exit 0
    else
        newer=${newer:-$path}
    fi
done

if [ -n "$newer" ]; then
    echo "$newer is newer than 3.11 to 3.14, which the locked packages are built for: some may have to be compiled." >&2
    printf '%s\n' "$newer"
    exit 0
fi
if [ -n "$without_venv" ]; then
    echo "$without_venv cannot create virtual environments: its venv or ensurepip module is missing." >&2
    echo "Install it (Debian, Ubuntu: apt install python3-venv), or use another Python: make PYTHON=/path/to/python3 ..." >&2
else
    echo "No Python 3.11 or newer found (tried: $candidates)." >&2
    echo "Install one, or give its path: make PYTHON=/path/to/python3 ..." >&2
fi
exit 1
