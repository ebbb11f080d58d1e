#!/bin/sh
# test_sdks.sh: runs the tests of all that touches LiveKit's SDK on the oldest version that lknb supports, which is the
# one that livekit-agents needs, and on the newest. Arguments go to pytest.
set -u

cd "$(dirname "$0")/.."
python=.venv/bin/python
failed=

echo "--- pip resolves lknb together with livekit-agents"
"$python" -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed . livekit-agents ||
    failed="$failed
    resolving"

tests="sdk ffi replies sdk_log text_streams byte_streams rpc packets data_tracks state track_schemas sending cancel
connect leaving link losses reconnect rejoin refusals permissions recording replay samples_sent tables_sent"
files=
for each in $tests; do
    files="$files tests/test_$each.py"
done

# $1: a folder that takes precedence on the path.
run() {
    (
        export PYTHONPATH="$1"
        shift
        echo "--- livekit $("$python" -c 'from importlib.metadata import version; print(version("livekit"))')"
        # shellcheck disable=SC2086
        "$python" -m pytest -n 2 --dist loadfile "$@" $files
    )
}
run "$PWD/.venv/agents" "$@" || failed="$failed
    oldest"
run "" "$@" || failed="$failed
    newest"

[ -z "$failed" ] || { printf 'Failed:%s\n' "$failed"; exit 1; }
