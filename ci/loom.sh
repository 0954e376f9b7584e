#!/usr/bin/env bash
# The models at preemption bound 2 (or LOOM_MAX_PREEMPTIONS): each prints how many executions it
# explored, each planted bug by what it was caught. Used by .ci/run.   ci/loom.sh [TEST OPTIONS]
#
# Models that their files mark `wide` or `widest` are explored at one or two preemptions less;
# those marked `campaign` are left to ci/loom-deep.sh.
set -euo pipefail
cd "$(dirname "$0")/../loom-tests"

export RUSTFLAGS="--cfg hotset_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
# A limit of loom's ends a model without a word, as a success. The models ignore these; so that
# nobody believes in them:
unset LOOM_MAX_DURATION LOOM_MAX_PERMUTATIONS LOOM_CHECKPOINT_FILE

cargo test --release --target-dir target --tests -- --nocapture \
    --test-threads="${LOOM_TEST_THREADS:-2}" "$@"
../ci/models.sh
