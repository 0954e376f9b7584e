#!/usr/bin/env bash
# Which orderings do the models miss? One at a time, each Acquire, Release, AcqRel and SeqCst of
# the given files becomes Relaxed (a fence: goes), and the models run until one fails.
#
#   ci/mutants.sh [FILE ...]       default: the files below, one to four minutes a mutant
#   HOTSET_MODELS="reclaim slot"   which binaries of loom-tests, in this order
#   HOTSET_MUTANT_SECONDS=90       for one binary; a mutant that is not found out by then survives
#
# Works on a copy, so the tree is never touched. A mutant that hangs a model is killed, too. What
# survives is redundant, or stands in for the total order that loom does not know, or is a gap:
# each needs an argument where it stands. Not in the gate: hours for all files.
set -euo pipefail
cd "$(dirname "$0")/.."

files=("$@")
if [ ${#files[@]} -eq 0 ]; then
    files=(src/slot/mod.rs src/table/bucket.rs src/load/mod.rs src/budget.rs src/node.rs src/reclaim/slab.rs)
fi
read -ra models <<<"${HOTSET_MODELS:-slot reclaim insert evict flight slab}"
seconds=${HOTSET_MUTANT_SECONDS:-90}

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r Cargo.toml src loom-tests "$copy"/
rm -rf "$copy/loom-tests/target"
# The root is a workspace with packages that the models do not need.
sed -i '/^\[workspace\]/,/^$/d; /^\[\[/,/^$/d' "$copy/Cargo.toml"

export RUSTFLAGS="--cfg hotset_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
unset LOOM_MAX_DURATION LOOM_MAX_PERMUTATIONS LOOM_CHECKPOINT_FILE
target=${CARGO_TARGET_DIR:-$PWD/target}/mutants

# Prints "killed by ..." or "survived".
verdict() {
    local model rc
    if ! (cd "$copy/loom-tests" &&
        cargo test --release --target-dir "$target" --tests --no-run) >"$copy/log" 2>&1; then
        echo "does not compile"
        return
    fi
    for model in "${models[@]}"; do
        rc=0
        (cd "$copy/loom-tests" && timeout "$seconds" \
            cargo test --release --target-dir "$target" --test "$model" -- \
            sound:: --test-threads=1) >"$copy/log" 2>&1 || rc=$?
        if [ $rc -eq 124 ]; then
            late="$late $model"
        elif [ $rc -ne 0 ]; then
            # The test that was running when it ended.
            echo "killed by $(grep -oE 'sound::[a-z_]+' "$copy/log" | tail -n 1)"
            return
        fi
    done
    echo "SURVIVED${late:+ (not ended:$late)}"
}

killed=0 survived=0
for file in "${files[@]}"; do
    # Code only: neither comments nor what stands below the tests of the file.
    last=$(grep -nE '^#\[cfg\(.*test' "$file" | head -n 1 | cut -d: -f1 || true)
    mapfile -t spots < <(head -n "$((${last:-100000} - 1))" "$file" |
        grep -noE '//.*|Ordering::(Acquire|Release|AcqRel|SeqCst)' | grep -v '://' |
        awk -F: '{ n[$1]++; print $1 ":" n[$1] ":" $4 }')
    for spot in "${spots[@]}"; do
        IFS=: read -r line nth order <<<"$spot"
        text=$(sed -n "${line}p" "$file")
        if [[ $text =~ fence\(Ordering ]]; then
            sed "${line}s/fence(Ordering::[A-Za-z]*);//" "$file" >"$copy/$file"
        else
            sed "${line}s/Ordering::\(Acquire\|Release\|AcqRel\|SeqCst\)/Ordering::Relaxed/$nth" \
                "$file" >"$copy/$file"
        fi
        late=""
        outcome=$(verdict)
        printf '%s:%s: %s (%s) %s\n' "$file" "$line" "$order" "$nth" "$outcome"
        case $outcome in
        killed*) killed=$((killed + 1)) ;;
        SURVIVED*) survived=$((survived + 1)) ;;
        esac
    done
    cp "$file" "$copy/$file"
done
echo "$killed killed, $survived survived"
