#!/usr/bin/env bash
# Every set of features: without a warning, and with the docs; and the tests with all of them.
#
#   ci/features.sh [check]      `check`: without the tests
#
# The sets are made of what Cargo.toml lists under [features]. Left out: `loom`, which is for the models
# (ci/loom.sh) and adds nothing without their cfg.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t features < <(
    sed -n '/^\[features\]/,/^\[/s/^\([a-z_-]*\) *= *\[.*/\1/p' Cargo.toml | grep -vx -e loom -e default
)
all=$(IFS=,; echo "${features[*]}")
echo "features: $all"

for ((set = 0; set < 1 << ${#features[@]}; set++)); do
    chosen=()
    for at in "${!features[@]}"; do
        if ((set >> at & 1)); then chosen+=("${features[at]}"); fi
    done
    list=$(IFS=,; echo "${chosen[*]}")
    echo "--- [$list]"
    cargo clippy --quiet -p hotset --lib --no-default-features --features "$list" -- -D warnings
done

RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps -p hotset --features "$all"
if [ "${1:-}" != check ]; then
    cargo test -p hotset --features "$all" --lib --test it --test events
    cargo test -p hotset --features "$all" --doc
fi
