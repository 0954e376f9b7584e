#!/usr/bin/env bash
# The models at preemption bound 3: a slow campaign, for a quiet machine and a free afternoon.
set -euo pipefail
LOOM_MAX_PREEMPTIONS=3 exec "$(dirname "$0")/loom.sh" "$@"
