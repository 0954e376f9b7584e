#!/usr/bin/env bash
# Does hotset build and work with the oldest dependencies that Cargo.toml allows?
#
#   ci/minimal-versions.sh [CARGO TEST OPTIONS]      default: --lib --test it
#
#   HOTSET_MSRV_TOOLCHAIN=1.88   the toolchain that builds; default: that of `rust-version` if it is
#                                installed, else the usual one, and it says so
#   HOTSET_NIGHTLY=nightly       the toolchain that resolves versions
#
# Direct dependencies only: what those ask for is theirs to get right. Works on a copy, in which the package
# is alone, so that the tools beside it have no say in the versions.
set -euo pipefail
cd "$(dirname "$0")/.."

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
toolchain=${HOTSET_MSRV_TOOLCHAIN:-}
if [ -z "$toolchain" ] && rustup toolchain list | grep -q "^$msrv"; then toolchain=$msrv; fi
if [ -z "$toolchain" ]; then
    echo "Rust $msrv is not installed: the oldest dependencies are tried with $(rustc --version)"
fi

target=${CARGO_TARGET_DIR:-$PWD/target}/minimal
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r Cargo.toml README.md src tests examples "$copy"/
cd "$copy"
sed -i 's/^members = .*/members = []/' Cargo.toml

features=$(sed -n '/^\[features\]/,/^\[/s/^\([a-z_-]*\) *= *\[.*/\1/p' Cargo.toml | grep -vx -e loom | paste -sd,)
cargo "+${HOTSET_NIGHTLY:-nightly}" generate-lockfile -Z direct-minimal-versions
cargo ${toolchain:+"+$toolchain"} tree --locked --depth 1 --edges normal,dev --features "$features"
if [ $# -eq 0 ]; then set -- --lib --test it --test events; fi
CARGO_TARGET_DIR=$target cargo ${toolchain:+"+$toolchain"} test --locked --features "$features" "$@"
