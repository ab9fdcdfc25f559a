#!/usr/bin/env bash
# Coverage-guided fuzzing of every parser of foreign bytes (src/fuzz.rs), with libFuzzer and the stable compiler.
#
#     tools/fuzz.sh run SECONDS [TARGET...]   runs each target that long; it fails with the input that broke one
#     tools/fuzz.sh seeded SECONDS [TARGET...]   each target has to find the bug that is seeded for it within that time
#
# JOBS targets run at the same time (2), at the priority NICE (19). What was learned stays beside the build, inputs that break a target too.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=$1 limit=$2
shift 2
jobs=${JOBS:-2} nice=${NICE:-19}
built=${CARGO_TARGET_DIR:-$HOME/.cache/lethe/target}
if [ "$mode" = seeded ]; then
    export LETHE_FUZZ_SEEDED=1
fi
. tools/env.sh
# The versions that are tested, and the engine's own.
cp Cargo.lock fuzz/Cargo.lock
RUSTC_WRAPPER=$PWD/tools/fuzz-rustc cargo build -q -j2 --manifest-path fuzz/Cargo.toml --target-dir "$built"
binary=$built/debug/fuzz
work=$built/fuzzing-$mode
mkdir -p "$work"
[ $# -gt 0 ] || set -- $(ls fuzz/corpus)

# One target; prints one line.
one() {
    local name=$1 log=$work/$1.log status=0
    mkdir -p "$work/$name"
    [ "$mode" = run ] || find "$work/$name" -type f -delete
    if [ "$mode" = seeded ] && ! LETHE_FUZZ=$name nice -n "$nice" "$binary" -runs=0 "fuzz/corpus/$name" > "$log" 2>&1; then
        echo "$name: its corpus has the bug already"
        return 1
    fi
    # What it got of a core, in seconds: beside other work the time that passed says little.
    local TIMEFORMAT=%U
    {
        time LETHE_FUZZ=$name nice -n "$nice" "$binary" -max_total_time="$limit" -timeout=20 -rss_limit_mb=2048 \
            -malloc_limit_mb=512 -max_len=16384 -print_final_stats=1 -artifact_prefix="$work/broken-$name-" \
            -dict=fuzz/dictionary "$work/$name" "fuzz/corpus/$name" > "$log" 2>&1 || status=$?
    } 2> "$log.time"
    local runs cover seconds
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    cover=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    seconds=$(tail -n 1 "$log.time")
    if [ "$mode" = run ]; then
        [ $status = 0 ] && { echo "$name: clean, ${runs:-0} inputs, $cover, $seconds s of a core"; return 0; }
        echo "$name: BROKEN, see $log"
        return 1
    fi
    grep -q 'the seeded bug\|assertion' "$log" && [ $status != 0 ] \
        && { echo "$name: found its bug, ${runs:-$(grep -o '^#[0-9]*' "$log" | tail -n 1)} inputs, $seconds s"; return 0; }
    echo "$name: DID NOT FIND its bug in $limit s, ${runs:-0} inputs, $seconds s of a core, see $log"
    return 1
}
export -f one
export mode limit work binary nice
printf '%s\n' "$@" | xargs -P "$jobs" -I '{}' bash -c 'one "$@"' one '{}'
