#!/usr/bin/env bash
# All models, at preemption bound 3 (or LOOM_MAX_PREEMPTIONS): a slow campaign, for a quiet machine
# and a free afternoon. LOOM_MAX_PREEMPTIONS=2 runs those that ci/loom.sh leaves out.
set -euo pipefail
export LOOM_ALL=1 LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
exec "$(dirname "$0")/loom.sh" "$@"
