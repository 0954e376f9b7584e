#!/usr/bin/env bash
# Fuzzes each target for SECONDS (default 30), with AddressSanitizer.   ci/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
toolchain=${HOTSET_NIGHTLY:-nightly}

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --version 0.13.2 --locked # about a minute on two cores
fi

# Each node goes back to the allocator at once: the sanitizer does not see one that is used again.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg hotset_single"

# Faults show in sequences that are longer than what libFuzzer begins with: no `len_control`.
cd fuzz
for target in ops features load word; do
    mkdir -p "corpus/$target"
    echo "== fuzz: $target, $seconds s"
    cargo "+$toolchain" fuzz run "$target" -- \
        -max_total_time="$seconds" -max_len=2048 -len_control=0 -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 2>&1 | grep -vE '^#[0-9]+|^\s*NEW_(FUNC|PC)|^"|^####|^INFO: Loaded|BINGO' | tail -n 60
done
