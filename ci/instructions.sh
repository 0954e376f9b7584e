#!/usr/bin/env bash
# How many instructions does an operation take? Counted by callgrind, so the same on a busy machine.
#
#   ci/instructions.sh [OPERATION ...]   default: hit, pinned-hit, miss, churn, read-through
#
#   HOTSET_PEERS     who is counted ["hotset,hotset clock,quick_cache"]
#   HOTSET_ENTRIES   sizes [1000 10000]
#
# Prints a table, then by function where an insert of hotset into the largest full cache spends its instructions.
# Without valgrind it says so and that it is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind >/dev/null; then
    echo "ci/instructions.sh: skipped: there is no valgrind"
    exit 0
fi
operations=("$@")
[ $# -gt 0 ] || operations=(hit pinned-hit miss churn read-through)
IFS=, read -ra peers <<<"${HOTSET_PEERS:-hotset,hotset clock,quick_cache}"
read -ra sizes <<<"${HOTSET_ENTRIES:-1000 10000}"

cargo build --release --quiet -p hotset-bench
bench=${CARGO_TARGET_DIR:-target}/release/hotset-bench
out=${CARGO_TARGET_DIR:-target}/instructions
mkdir -p "$out"

# file OPERATION PEER ENTRIES: where its counts are.
file() { echo "$out/$1.${2// /-}.$3"; }

# simulate OPERATION PEER ENTRIES: what `counted` in benches/src/commands/count.rs does and calls.
simulate() {
    local file
    file=$(file "$@")
    valgrind --tool=callgrind --callgrind-out-file="$file" --collect-atstart=no '--toggle-collect=*count*counted*' \
        --cache-sim=yes --branch-sim=yes --collect-bus=yes \
        "$bench" count "$1" --peer "$2" --entries "$3" >"$file.operations" 2>"$file.log" ||
        { cat "$file.log" >&2; return 1; }
}

# each OPERATION PEER ENTRIES EVENT: of one operation.
each() {
    local file
    file=$(file "$1" "$2" "$3")
    awk -v event="$4" -v operations="$(cat "$file.operations")" '
        /^events:/ { for (i = 2; i <= NF; i++) at[$i] = i }
        /^(summary|totals):/ { total = $at[event] }
        END { printf event == "Ir" ? "%.0f" : "%.2f", total / operations }
    ' "$file"
}

# annotated FILE EVENT: its count in each function, by the file of which the code is.
annotated() { callgrind_annotate --auto=no --show="$2" --sort="$2" --threshold=100 "$1" 2>/dev/null; }

# atomics OPERATION PEER ENTRIES: stores to atomics, which all words are that threads share.
atomics() {
    local file
    file=$(file "$@")
    annotated "$file" Dw | awk -v operations="$(cat "$file.operations")" '
        /sync\/atomic\.rs:/ { gsub(/,/, "", $1); sum += $1 }
        END { printf "%.2f", sum / operations }
    '
}

echo "$(date +%F) · $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1) · $(valgrind --version) · \$ ci/instructions.sh${*:+ $*}"
echo
echo '| operation | entries | peer | instructions | the loop alone | locked | atomic writes | mispredicted |'
echo '|---|--:|---|--:|--:|--:|--:|--:|'
for operation in "${operations[@]}"; do
    for entries in "${sizes[@]}"; do
        simulate "$operation" nobody "$entries"
        for peer in "${peers[@]}"; do
            [ "$operation $peer" != 'pinned-hit quick_cache' ] || continue
            simulate "$operation" "$peer" "$entries"
            of=("$operation" "$peer" "$entries")
            echo "| $operation | $entries | $peer | $(each "${of[@]}" Ir) | $(each "$operation" nobody "$entries" Ir) | $(each "${of[@]}" Ge) | $(atomics "${of[@]}") | $(each "${of[@]}" Bcm) |"
        done
    done
done

largest=${sizes[-1]}
churn=$(file churn hotset "$largest")
[[ " ${operations[*]} " = *' churn '* && ,${HOTSET_PEERS:-hotset}, = *,hotset,* ]] || exit 0
echo
echo "An insert of hotset into a full cache of $largest, by function:"
echo
echo '| instructions | function |'
echo '|--:|---|'
# One line for each file of which code was inlined into a function: summed up.
annotated "$churn" Ir |
    awk -v operations="$(cat "$churn.operations")" '
        /file:function/ { inside = 1; next }
        inside && $1 ~ /^[0-9,]+$/ {
            count = $1; gsub(/,/, "", count)
            name = $0; sub(/^ *[0-9,]+ *(\([^)]*\))? */, "", name); sub(/^[^:]*:/, "", name); sub(/ \[[^]]*\]$/, "", name)
            sum[name] += count
        }
        END { for (name in sum) if (sum[name] / operations >= 1) printf "| %.0f | `%s` |\n", sum[name] / operations, name }
    ' | sort -t'|' -k2,2nr
