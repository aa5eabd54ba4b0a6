#!/usr/bin/env bash
# Builds with address + undefined behaviour sanitizers and runs the rings that need no timing; replays the fuzz corpora and
# fuzzes each target for a short while.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-10}

cmake --preset asan > /dev/null
cmake --build --preset asan
# Leaks are looked for in our own processes; MPI and oneDNN keep memory until the process ends.
ASAN_OPTIONS=detect_leaks=0 ctest --test-dir build/asan --output-on-failure -L 'logic|ops' -LE 'nightly'

cmake --preset fuzz > /dev/null
cmake --build --preset fuzz --target fuzzers
for target in build/fuzz/fuzz/*_fuzz; do
  name=$(basename "$target")
  scratch=$(mktemp -d)
  echo "fuzzing $name for ${seconds} s"
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
    "$scratch" "tests/fuzz/corpus/$name"
  rm -r "$scratch"
done
