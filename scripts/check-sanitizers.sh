#!/usr/bin/env bash
# Builds with address + undefined behaviour sanitizers and runs the rings that need no MPI; with the thread sanitizer
# what uses threads of our own (watchdog, checkpoint writers; libgomp and MPI are not instrumented); replays the fuzz
# corpora and fuzzes each target for a short while. FUZZ_SECONDS is per target.
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset asan > /dev/null
cmake --build --preset asan --target tests_logic tests_ops
# Leaks are not looked for: MPI and oneDNN keep memory until the process ends.
ASAN_OPTIONS=detect_leaks=0 ctest --test-dir build/asan -j "$(nproc)" --output-on-failure -L '^(logic|ops)$' -LE nightly

cmake --preset tsan > /dev/null
cmake --build --preset tsan --target tests_threads
ctest --test-dir build/tsan --output-on-failure -L '^threads$' -LE nightly

cmake --preset fuzz > /dev/null
cmake --build --preset fuzz --target fuzzers
for target in build/fuzz/fuzz/*_fuzz; do
  name=$(basename "$target")
  scratch=$(mktemp -d)
  echo "fuzzing $name"
  "$target" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_funcs=0 \
    "$scratch" "tests/fuzz/corpus/$name"
  rm -r "$scratch"
done
