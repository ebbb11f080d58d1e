#!/bin/sh
# Compiles requirements/*.txt from pyproject.toml: versions and hashes, for all platforms and versions of Python.
# Versions that still fit are kept; `scripts/lock.sh --upgrade` takes the newest.
set -eu

cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$(scripts/python.sh)" -m venv "$tools"
PIP_USER=0 "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv==0.13.9"

# `fewest`: the same package versions on every Python, so that a test on one applies to the others.
compile() {
    lock=$1
    shift
    "$tools/bin/uv" --quiet --no-config pip compile pyproject.toml --output-file "$lock" \
        --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@"
}

echo "Compiling requirements/dev.txt and requirements/lab.txt"
compile requirements/dev.txt --extra lab --extra data --extra decoders --extra sql --group dev "$@"
# Starting from dev's pins gives both files the same versions.
cp requirements/dev.txt requirements/lab.txt
compile requirements/lab.txt --extra lab --extra data --extra decoders --extra sql --group run

pins() { sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\).*/\1/p' "$1" | sort; }
pins requirements/dev.txt >"$tools/dev"
pins requirements/lab.txt >"$tools/lab"
if [ -n "$(comm -13 "$tools/dev" "$tools/lab")" ]; then
    echo "requirements/lab.txt has pins that requirements/dev.txt does not have:" >&2
    comm -13 "$tools/dev" "$tools/lab" >&2
    exit 1
fi

# Real agents, with everything else as in dev.txt: only what they add, or need in another version, is in their lock.
echo "Compiling requirements/agents.txt"
grep -v '^livekit==' "$tools/dev" | sed 's/ .*//' >"$tools/same"
compile requirements/agents.txt --group agents --constraint "$tools/same" \
    $(sed 's/==.*//; s/^/--no-emit-package /' "$tools/same") "$@"
