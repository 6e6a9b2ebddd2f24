#!/bin/sh
# See to it that the browser tests have a Chromium: the machine's own, else Debian's, else Playwright's.
set -eu
cd "$(dirname "$0")/.."

present() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    .venv/bin/python - <<'PYTHON' 2>/dev/null
import os, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    sys.exit(not os.path.exists(playwright.chromium.executable_path))
PYTHON
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

debian() {
    command -v apt-get >/dev/null && grep -q '^ID=debian' /etc/os-release 2>/dev/null && as_root true 2>/dev/null
}

install_from_debian() {
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1 ||
        { as_root apt-get update -qq && as_root apt-get install -qq -y --no-install-recommends chromium >/dev/null; }
}

present && exit 0
echo 'Installing Chromium for the browser tests (once)'
if debian; then install_from_debian || true; fi
present || .venv/bin/python -m playwright install chromium || true
present && exit 0
echo 'netra: the tests need Chromium, and it could not be installed. Install it (Debian: apt-get install chromium;' \
    'elsewhere: .venv/bin/python -m playwright install --with-deps chromium), then try again.' >&2
exit 1
