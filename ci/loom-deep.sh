#!/usr/bin/env bash
# The slow campaign, for a quiet machine and a free night: the models that ci/loom.sh leaves out,
# then all others at preemption bound 3.   ci/loom-deep.sh [TEST OPTIONS]
set -euo pipefail
cd "$(dirname "$0")"

./loom.sh --ignored "$@"
LOOM_MAX_PREEMPTIONS=3 ./loom.sh "$@"
