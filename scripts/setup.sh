#!/bin/sh
# setup.sh lab|dev: installs the locked packages and this working tree into `.venv`.
# `dev` adds development tools to `lab`. Returns immediately if nothing has changed since the last run.
set -eu

want=$1
cd "$(dirname "$0")/.."
stamp=.venv/lknb-setup

# The stamp contains the path: scripts in a virtual environment name their interpreter by its absolute path,
# so in a copied or moved tree they would run the packages of the original.
here=$(pwd -P)
# It contains the version too, because the installed package keeps the version that it was installed with.
inputs=$(
    printf '%s ' "$here"
    { cat pyproject.toml package*.json requirements/*.txt scripts/setup.sh; grep '^__version__' lknb/__init__.py; } | cksum
)

look() {
    have=
    [ ! -f "$stamp" ] || ! .venv/bin/python -c '' 2>/dev/null || have=$(cat "$stamp")
    case $have in
        "dev $inputs" | "$want $inputs") exit 0 ;;
    esac
}
look

# Only one setup at a time: two would corrupt .venv. The lock names its process, which may have been killed.
lock=.venv-setup
waited=0
until ln -s $$ "$lock" 2>/dev/null; do
    if ! kill -0 "$(readlink "$lock")" 2>/dev/null; then
        rm -f "$lock"
    elif [ $((waited += 1)) -gt 900 ]; then
        echo "Another setup of this folder (process $(readlink "$lock")) has been running for 15 minutes." >&2
        echo "If that process is something else, remove $here/$lock and try again." >&2
        exit 1
    else
        [ "$waited" -ne 1 ] || echo "Waiting for another setup of this folder"
        sleep 1
    fi
done
trap 'rm -f "$lock"' EXIT
trap 'exit 1' HUP INT TERM
look

# From here on, an interrupted run leaves no stamp, so the next run starts over.
rm -f "$stamp"
case $have in
    *" $here "*) ;;
    *)
        python=$(scripts/python.sh)
        echo "Creating .venv with $python ($("$python" --version))"
        "$python" -m venv --clear .venv
        ;;
esac

# Some of a user's pip settings would break an install into a virtual environment.
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
echo "Installing requirements/$want.txt (about a minute on a new machine)"
# --no-deps, because the lock is complete: pip may refuse a locked package with an extra once a newer version is out.
.venv/bin/python -m pip install --quiet --require-hashes --no-deps --requirement "requirements/$want.txt"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .

# Other versions of ipykernel for the tests: each in its own folder, which takes precedence on the path.
if [ "$want" = dev ]; then
    for requirements in requirements/kernel-*.txt; do
        folder=.venv/kernels/ipykernel-${requirements#requirements/kernel-}
        folder=${folder%.txt}
        rm -rf "$folder"
        .venv/bin/python -m pip install --quiet --require-hashes --no-deps --target "$folder" --requirement "$requirements"
    done
fi

# Real agents with the SDK that they need, in a folder that takes precedence too.
if [ "$want" = dev ]; then
    rm -rf .venv/agents
    .venv/bin/python -m pip install --quiet --require-hashes --no-deps --target .venv/agents \
        --requirement requirements/agents.txt
fi

# The tools that check and test the widgets' modules.
if [ "$want" = dev ]; then
    PATH="$here/.venv/bin:$PATH" .venv/bin/npm ci --silent --no-audit --no-fund
fi

printf '%s\n' "$want $inputs" >"$stamp"
