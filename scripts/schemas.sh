#!/bin/sh
# Checks the configuration of other services against the schemas that come with check-jsonschema. Downloads nothing.
set -u

cd "$(dirname "$0")/.." || exit 1
PATH="$PWD/.venv/bin:$PATH"
failed=0

check() {
    schema=$1
    shift
    check-jsonschema --quiet --builtin-schema "$schema" "$@" || failed=1
}

check vendor.github-workflows .github/workflows/*.yml
check vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
check vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
check vendor.dependabot .github/dependabot.yml
check vendor.readthedocs .readthedocs.yaml
check vendor.citation-file-format CITATION.cff
exit $failed
