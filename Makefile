# The two commands of the README, and what CI and developers add to them. Everything else is CMake.
SHELL := bash
BUILD := build/release
.PHONY: run test build deps format check nightly clean

# Packages are looked for once; the stamp is renewed when the list of packages changes.
deps: build/.deps
build/.deps: scripts/install-deps.sh
	@scripts/install-deps.sh
	@mkdir -p build && touch build/.deps

build: deps
	@cmake --preset release > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build --preset release

# Trains the default job on two ranks. Give overrides as ARGS="train.steps=50".
run: build
	@scripts/mpirun.sh -np 2 $(BUILD)/bin/edgetrain configs/austen.yaml $(ARGS)

test: build
	@ctest --test-dir $(BUILD) --output-on-failure -LE nightly

format:
	@git ls-files '*.h' '*.cpp' '*.cu' | xargs clang-format -i

# What CI runs behind the tests: format, floors, CUDA where there is a toolkit, sanitizers, fuzz corpora.
check: deps
	@scripts/check-format.sh
	@scripts/check-floors.sh
	@scripts/check-cuda.sh
	@scripts/check-sanitizers.sh

nightly: build
	@ctest --test-dir $(BUILD) --output-on-failure

clean:
	@rm -rf build runs
