#!/usr/bin/env bash
# The test suite under AddressSanitizer, with leak detection.   ci/asan.sh [TEST FILTER ...]
# Uses of freed memory must really happen to be seen, so the stress tests run for longer, and each
# node is asked of the allocator and goes back to it at once, since the sanitizer does not see one that is used
# again. Then the slabs of ordinary builds.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
flags="${RUSTFLAGS:-} -Zsanitizer=address"
export HOTSET_STRESS_SECONDS=${HOTSET_STRESS_SECONDS:-4}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=0}
# --tests: a sanitizer cannot be linked into doctests.
under_it() {
    cargo "+${HOTSET_NIGHTLY:-nightly}" test --target "$target" --profile "${HOTSET_PROFILE:-release}" "$@"
}
RUSTFLAGS="$flags --cfg hotset_single" under_it --test it --test resource -- "$@"
if [ $# -eq 0 ]; then
    RUSTFLAGS="$flags" under_it --lib -- reclaim::
fi
