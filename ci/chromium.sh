#!/usr/bin/env bash
# Makes sure that there is a Chromium, for the test of warmd's status page: takes the one that is
# there, or installs Debian's.   ci/chromium.sh
set -euo pipefail

for name in chromium chromium-browser google-chrome chrome; do
    if command -v "$name" >/dev/null; then
        echo "$name: $("$name" --version --no-sandbox 2>/dev/null || echo installed)"
        exit 0
    fi
done

if ! command -v apt-get >/dev/null; then
    echo "no Chromium, and no apt-get to install it: put chromium into PATH" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends chromium
chromium --version --no-sandbox
