#!/usr/bin/env bash
# How many models are there, how many bugs are planted in them, and which models have none of their own?
# Counted in the suites of loom-tests/tests, not run; `fences`, which is none, has four mistakes of its own.   ci/models.sh
set -euo pipefail
cd "$(dirname "$0")/../loom-tests/tests"

awk '
    /^suite! \{/ { inside = 1; next }
    /^}/ { inside = 0 }
    !inside { next }
    {
        line = $0
        if (match(line, /^ +(sound|wide|widest|campaign|seeded):/)) {
            section = substr(line, 1, RLENGTH - 1)
            gsub(/ /, "", section)
            line = substr(line, RLENGTH + 1)
        }
        name = FILENAME
        sub(/\.rs$/, "::", name)
        if (section == "seeded") {
            while (match(line, /[A-Z][A-Za-z]* in [a-z_]+/)) {
                split(substr(line, RSTART, RLENGTH), said, " ")
                line = substr(line, RSTART + RLENGTH)
                planted[name said[3]] = 1
                if (!(said[1] in seeds)) { seeds[said[1]] = 1; distinct++ }
                tests++
            }
        } else {
            gsub(/[,;]/, " ", line)
            count = split(line, names, " ")
            for (i = 1; i <= count; i++) { models[name names[i]] = 1; of[section]++; all++ }
        }
    }
    END {
        for (model in models) if (model in planted) hosts++; else without[model] = 1
        printf "%d models: %d at the bound, %d wide, %d widest, %d in the campaign\n", \
            all, of["sound"], of["wide"], of["widest"], of["campaign"]
        printf "%d bugs, planted %d times, in %d of the models\n", distinct, tests, hosts
        for (model in without) print "no bug of its own: " model | "sort"
    }' *.rs
