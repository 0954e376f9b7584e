#!/usr/bin/env bash
# All tables and plots of README.md and benches/RESULTS.md, from one command.
#
#   ci/tables.sh [PART ...] [insert] [OPTION ...]
#     PART            policies, replay, speed, memory, semantics, or all; none: all
#     insert          puts what was made into README.md, docs/ and benches/, in place of what is there; alone,
#                     without measuring anything
#     OPTION          for every command of hotset-bench: --quick, --rounds=7
#     HOTSET_TRACES   the folder with the traces; without it a synthetic mix [../shared/traces]
#     HOTSET_TABLES   where the output goes [target/tables]
#
# Writes tables.md (the body of RESULTS.md), readme.md (the tables of README.md), curves/*.svg and
# replay*.svg. A part that is left out stays as it was when it was last made.
#
# On a quiet machine: every table says when and where, but none can say who else was at work. All of
# it takes about an hour on two cores; --quick is for trying the script out.
set -euo pipefail
cd "$(dirname "$0")/.."

{ # Read to its end before anything runs: an edit during the hour that it takes does no harm.
parts=() options=() insert=false
for argument in "$@"; do
    case $argument in
    policies | replay | speed | memory | semantics) parts+=("$argument") ;;
    all) parts=(policies replay speed memory semantics) ;;
    insert) insert=true ;;
    -*) options+=("$argument") ;;
    *)
        echo "ci/tables.sh: no part is called \"$argument\"; there are policies, replay, speed, memory, semantics, and insert" >&2
        exit 2
        ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || $insert || parts=(policies replay speed memory semantics)

out=${HOTSET_TABLES:-target/tables}
traces=${HOTSET_TRACES:-../shared/traces}
mkdir -p "$out/parts"
shopt -s nullglob
files=("$traces"/*.u64.zst)
[ ${#files[@]} -gt 0 ] || echo "ci/tables.sh: no traces in $traces, so a synthetic mix" >&2

# Summed up apart from the rest, to tell a policy that suits the kind from one that suits the file.
holdout=(scarab-recs w106 lirs-multi1 p2-extents)
# Those of which `policies --check` knows what others measured.
known_figures=(oltp p3 w106 orm-night web07 scarab-recs corda web-sized lirs-loop lirs-multi1 lirs-gli)

[ ${#parts[@]} -eq 0 ] || cargo build --release --quiet -p hotset-bench
bench=${CARGO_TARGET_DIR:-target}/release/hotset-bench

# Whether all of these traces are there.
have() {
    local name
    for name in "$@"; do [ -e "$traces/$name.u64.zst" ] || return 1; done
}

# Runs one command of hotset-bench; prints it as anyone can type it, then its tables.
tables() {
    local word line="cargo run --release -p hotset-bench --" all=0
    for word in "$@"; do
        case $word in
        "$out"/*) word=target/tables/${word#"$out"/} ;;
        "$traces"/*) word=../shared/traces/${word#"$traces"/} ;;
        "$traces") word=../shared/traces ;;
        *' '*) word="\"$word\"" ;;
        esac
        # A long list of files is one pattern.
        if [ "$((all += 1))" -ge 2 ] && [ "$2" = "${files[0]:-}" ] && [ "$all" -le $((${#files[@]} + 1)) ]; then
            [ "$all" -eq 2 ] || continue
            word='../shared/traces/*.u64.zst'
        fi
        line+=" $word"
    done
    line+="${options[*]:+ ${options[*]}}"
    echo "$line" >&2
    printf '\n    %s\n' "$line"
    "$bench" "$@" "${options[@]}" | sed 's/^## /#### /'
}

policies() {
    local name known=() sized=()
    printf '\n## Policies\n'
    if [ ${#files[@]} -gt 0 ]; then
        for name in "${holdout[@]}"; do ! have "$name" || known+=("$name"); done
        tables policies "${files[@]}" --svg "$out/curves" \
            ${known[0]:+--holdout "$(IFS=,; echo "${known[*]}")"}
        if have "${known_figures[@]}"; then tables policies --check --traces "$traces"; fi
        if have corda lirs-loop; then tables policies --shift --traces "$traces"; fi
        for name in "${files[@]}"; do
            [ ! -e "${name%.u64.zst}.size.u32.zst" ] || sized+=("$name")
        done
        if [ ${#sized[@]} -gt 0 ]; then tables policies --weighted "${sized[@]}"; fi
    else
        tables policies --svg "$out/curves"
    fi
    tables policies --flood 10000
}

replay() {
    printf '\n## Replay\n'
    [ ${#files[@]} -eq 0 ] || tables replay "${files[@]}" --svg "$out/replay.svg"
    tables replay --svg "$out/replay-synthetic.svg"
}

speed() {
    local name
    printf '\n## Speed\n\n### Hit\n'
    tables hit
    tables zipf-hit
    tables hot-key
    printf '\n### Read-through\n'
    tables read-through
    for name in oltp scarab-recs web07; do
        ! have "$name" ||
            tables read-through --trace "$traces/$name.u64.zst" --only "hotset,hotset clock,quick_cache"
    done
    # From which load on do better hits pay for what the policy costs?
    for name in oltp scarab-recs web07; do
        ! have "$name" ||
            tables read-through --trace "$traces/$name.u64.zst" --only "hotset,hotset clock,quick_cache" --load-ns 300
    done
    printf '\n### Churn\n'
    tables churn
    tables churn --weighed
    printf '\n### Hits with some inserts\n'
    tables mixed
    printf '\n### Latency\n'
    tables latency
}

memory() {
    printf '\n## Memory\n'
    tables memory
    printf '\n### Live values\n'
    tables live
}

semantics() {
    printf '\n## Semantics\n'
    tables semantics
}

# The summary of all scenes.
docs_semantics() {
    [ -e "$out/parts/semantics.md" ] || return 0
    sed -n '/^#### Semantics$/,${/^####/d;p}' "$out/parts/semantics.md"
}

# cell PART TITLE ROW COLUMN [LINE]: one figure of the last table of that part whose title begins with
# TITLE, from the last line that matches LINE (both regular expressions).
cell() {
    awk -F' *[|] *' -v title="^#### ($2)" -v row="$3" -v column="$4" -v line="${5:-.}" '
        /^#### / { inside = $0 ~ title; header = 0 }
        inside && /^[|]/ && !header { for (i in at) delete at[i]; for (i = 2; i < NF; i++) at[$i] = i; header = 1; next }
        inside && /^[|]/ && $2 == row && column in at && $0 ~ line { found = $at[column] }
        END { print found == "" ? "-" : found }
    ' "$out/parts/$1.md"
}

# One line of the table of speeds: what, unit, part, title, column, command, what follows the name
# of the row, line.
speeds() {
    local name figure line="| $1 |"
    for name in hotset 'hotset clock' quick_cache moka; do
        figure=$(cell "$3" "$4" "$name${7:-}" "$5" "${8:-.}")
        [ "$figure" = - ] || [ -z "$2" ] || figure+=" $2"
        line+=" $figure |"
    done
    echo "$line \`$6\` |"
}

# day PART TITLE: when the first table of that part whose title begins so was made.
day() { sed -n "/^#### $2/,\$ { /^20[0-9-]* · /{ s/ .*//p; q } }" "$out/parts/$1.md"; }

readme_speed() {
    local cores threads head speed memory
    cores=$(nproc)
    head=$(sed -n '/^#### Hit, 1 thread/,$ { /^20[0-9-]* · /{ s/ · \$ .*//p; q } }' "$out/parts/speed.md")
    speed=$(day speed 'Hit, 1 thread') memory=$(day memory Memory)
    [ "$memory" = "$speed" ] || head="$speed (the last three rows: $memory)${head#"$speed"}"
    echo "$head, medians of interleaved rounds:"
    echo
    # shellcheck disable=SC2016
    echo '| `u64 -> u64` | hotset | with `Policy::Clock` | quick_cache 0.7 | moka 0.12 | command |'
    echo '|---|--:|--:|--:|--:|---|'
    speeds 'hit, 1 thread, 1,000 entries' ns speed 'Hit, 1 thread, 1,000 ' ns hit
    speeds 'the same, one pin for 64 reads' ns speed 'Hit, 1 thread, 1,000 ' ns hit ', pin held'
    speeds 'hit, 1 thread, 1,000,000 entries' ns speed 'Hit, 1 thread, 1,000,000 ' ns hit
    speeds 'the same, one pin for 64 reads' ns speed 'Hit, 1 thread, 1,000,000 ' ns hit ', pin held'
    speeds "one hot key, $cores threads together" M/s speed "One hot key .* $cores thread" M/s hot-key
    speeds 'the same, one pin for 64 reads' M/s speed "One hot key .* $cores thread" M/s hot-key ', pin held'
    for threads in 1 2 8; do
        speeds "read-through, Zipf 0.99, $threads thread(s)" M/s speed "Read-through, $threads thread.*Zipf" M/s read-through
    done
    speeds 'its hit ratio, 1 thread, capacity 10 % of the keys' '' speed 'Read-through, 1 thread.*Zipf' hits read-through
    for threads in 1 2 8; do
        speeds "read-through, trace oltp, $threads thread(s)" M/s speed "Read-through, $threads thread.*oltp.*[0-9]\$" M/s 'read-through --trace'
    done
    speeds 'its hit ratio, 1 thread, capacity 10 % of the keys' '' speed 'Read-through, 1 thread.*oltp.*[0-9]$' hits 'read-through --trace'
    for threads in 1 2; do
        speeds "read-through, trace oltp, a miss loads for 300 ns, $threads thread(s)" M/s speed "Read-through, $threads thread.*oltp.*300 ns\$" M/s 'read-through --trace --load-ns 300'
    done
    speeds 'p99.99 of read-through, Zipf, 8 threads' ns speed Latency p99.99 latency
    for threads in 1 2; do
        speeds "new keys into a full cache of 10,000, $threads thread(s)" M/s speed "Churn, $threads thread.*10,000\$" M/s churn
    done
    for threads in 1 2; do
        speeds "the same, entries weighed, $threads thread(s)" M/s speed "Churn, weighed, $threads thread.*10,000\$" M/s 'churn --weighed'
    done
    speeds 'bytes beyond key and value, steady' '' memory 'Memory' steady memory
    speeds 'of them in memory, allocator included' '' memory 'Memory' resident memory
    speeds 'most values alive at a bound of 1,000, 8 writers' '' memory 'Live values' 'most alive' live '' '8 [|] +none'
}

# The summary over all traces, then hotset's lines of the summaries of the two halves.
readme_policies() {
    awk '
        /^#### / { title = $0; inside = title == "#### Policies: summary" && !seen++ }
        inside && /^20[0-9-]* · / { print $0 "\n" }
        inside && /^[|]/
        inside && /^Means/ { print "\n" $0; inside = 0 }
        /^[|] policy/ { header = $0; sub(/policy/, "hotset adaptive over", header) }
        /^[|] hotset adaptive +[|]/ && title ~ /summary of the/ {
            of = title; sub(/.*summary of /, "", of); sub(/^[|] hotset adaptive +[|]/, "| " of " |")
            lines = lines $0 "\n"; head = header
        }
        END {
            if (lines != "") {
                rule = head; gsub(/[^|]/, "-", rule)
                printf "\n%s\n%s\n%s", head, rule, lines
            }
        }
    ' "$out/parts/policies.md"
}

# The tables of README.md, from whatever parts there are.
readme() {
    echo '<!-- tables: hit ratio -->'
    if [ -e "$out/parts/policies.md" ]; then readme_policies; fi
    echo '<!-- tables: speed -->'
    if [ -e "$out/parts/speed.md" ] && [ -e "$out/parts/memory.md" ]; then readme_speed; fi
    echo '<!-- tables end -->'
}

# put FILE NAME: standard input takes the place of what is between <!-- tables: NAME --> and the
# next <!-- tables end --> of FILE; nothing leaves it as it is.
put() {
    local body
    body=$(cat)
    [ -n "$body" ] || return 0
    grep -qxF "<!-- tables: $2 -->" "$1"
    # What is read first is the body; as a variable awk would take its backslashes away.
    awk -v name="<!-- tables: $2 -->" '
        FNR == NR { body = body $0 "\n"; next }
        /^<!-- tables end -->$/ { inside = 0 }
        !inside
        $0 == name { printf "\n%s\n", body; inside = 1 }
    ' <(echo "$body") "$1" >"$out/parts/put"
    cat "$out/parts/put" >"$1"
    rm "$out/parts/put"
}

# between NAME: that part of readme.md.
between() {
    sed -n "/^<!-- tables: $1 -->\$/,/^<!-- tables/{/^<!-- tables/d;p}" "$out/readme.md"
}

for part in "${parts[@]}"; do
    # Half a part is none.
    "$part" >"$out/parts/$part.new"
    mv "$out/parts/$part.new" "$out/parts/$part.md"
done

for part in policies replay speed memory semantics; do
    [ ! -e "$out/parts/$part.md" ] || cat "$out/parts/$part.md"
done >"$out/tables.md"
readme >"$out/readme.md"
echo "written: $out/tables.md, $out/readme.md" >&2

if $insert; then
    between 'hit ratio' | put README.md 'hit ratio'
    between speed | put README.md speed
    docs_semantics | put docs/comparison.md semantics
    put benches/RESULTS.md all <"$out/tables.md"
    [ ! -e "$out/replay.svg" ] || cp "$out/replay.svg" benches/hit-ratio.svg
    echo "inserted into README.md, docs/ and benches/" >&2
fi
exit
}
