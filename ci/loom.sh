#!/usr/bin/env bash
# The models at preemption bound 2 (or LOOM_MAX_PREEMPTIONS): each prints how many executions it
# explored, each planted bug by what it was caught. Used by .ci/run.
#
# Models of three threads marked `wide` or `widest` in their files are explored at one or two
# preemptions less. Those named below need many minutes each even so and are left to
# ci/loom-deep.sh, which sets LOOM_ALL.
set -euo pipefail
cd "$(dirname "$0")/../loom-tests"
export RUSTFLAGS="--cfg hotset_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"

skip=()
if [[ -z ${LOOM_ALL:-} ]]; then
    for model in two_evictors two_inserters_and_an_evictor two_join_a_failure two_join_a_panic \
        one_joins_one_evicts; do
        skip+=(--skip "sound::$model")
        echo "left to ci/loom-deep.sh: $model"
    done
fi
cargo test --release --target-dir target -- --nocapture \
    --test-threads="${LOOM_TEST_THREADS:-2}" "${skip[@]}" "$@"
