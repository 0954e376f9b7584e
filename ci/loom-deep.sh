#!/usr/bin/env bash
# The slow campaign, for a quiet machine and free nights.   ci/loom-deep.sh [TEST OPTIONS]
#
# A model that is `wide`, `widest` or of the `campaign` (loom-tests/src/lib.rs) is explored at one, two or two
# preemptions less than the bound. So:
#
# 1. those that ci/loom.sh leaves out at its bound of 2, which leaves them none: one of them had five million
#    executions behind it after forty minutes on a busy machine, and no end in sight;
# 2. all models at bound 3: three preemptions, two where they are wide, one for the rest, the campaign
#    included: hours;
# 3. the campaign at bound 4, which leaves it the two preemptions that others have: longer than anybody has waited.
#
# Each says from time to time how many executions it has behind it; what is stopped before it ends has proved
# nothing of the rest. No bug is planted here: that they are caught is shown at bound 2.
set -euo pipefail
cd "$(dirname "$0")"

./loom.sh --skip seeded:: --ignored "$@"
LOOM_MAX_PREEMPTIONS=3 ./loom.sh --skip seeded:: --include-ignored "$@"
LOOM_MAX_PREEMPTIONS=4 ./loom.sh --skip seeded:: --ignored "$@"
