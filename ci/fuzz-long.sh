#!/usr/bin/env bash
# Fuzzes for long: an hour for each target, or as many seconds as given.   ci/fuzz-long.sh [SECONDS]
set -euo pipefail
exec "$(dirname "$0")/fuzz.sh" "${1:-3600}"
