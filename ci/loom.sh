#!/usr/bin/env bash
# The models at preemption bound 2 (or LOOM_MAX_PREEMPTIONS): each prints how many executions it
# explored, each planted bug by what it was caught. Used by .ci/run.
set -euo pipefail
cd "$(dirname "$0")/../loom-tests"
export RUSTFLAGS="--cfg hotset_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
cargo test --release --target-dir target -- --nocapture --test-threads="${LOOM_TEST_THREADS:-2}" "$@"
