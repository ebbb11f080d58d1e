#!/bin/sh
# Prints the path of a Chromium that Playwright can drive, and installs one if necessary. Tries in this order:
# $LKNB_BROWSER, one on PATH, Debian's package (if this is root), Playwright's own download.
# Fails with the reason if there is none: the tests that need one are then skipped, with that reason.
set -u

cd "$(dirname "$0")/.."

found() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return
    done
    .venv/bin/python -c '
import pathlib, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    path = playwright.chromium.executable_path
print(path) if pathlib.Path(path).exists() else sys.exit(1)' 2>/dev/null
}

if [ -n "${LKNB_BROWSER:-}" ]; then
    echo "$LKNB_BROWSER"
    exit 0
fi
found && exit 0

log=$(mktemp)
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium with apt-get (about a minute)" >&2
    { timeout 300 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -qq -y chromium; } \
        >"$log" 2>&1 && found && rm -f "$log" && exit 0
fi
echo "Installing Chromium with Playwright (about a minute)" >&2
timeout 300 .venv/bin/python -m playwright install chromium >>"$log" 2>&1 && found && rm -f "$log" && exit 0

echo "No browser could be installed, so the tests in tests/browser will be skipped. Set LKNB_BROWSER to a Chromium." >&2
tail -n 3 "$log" >&2
rm -f "$log"
exit 1
