#!/usr/bin/env bash
# Installs what edgetrain builds, tests and runs with, from the distribution's packages (Debian 12), as root or
# through sudo. Does nothing, and needs no network, when everything is there.
set -euo pipefail

packages=(
  g++ cmake ninja-build make pkg-config          # build
  openmpi-bin libopenmpi-dev                     # ranks
  libdnnl-dev libhwy-dev                         # matrix products, SIMD kernels
  libyaml-cpp-dev nlohmann-json3-dev libfmt-dev  # jobs, JSON, text
  libxxhash-dev                                  # checksums
  libgtest-dev libbenchmark-dev                  # tests, benches
  clang libclang-rt-14-dev clang-format          # fuzzing, format check
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo > /dev/null || { echo "install these packages first: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
echo "installing: ${missing[*]}"
"${sudo[@]}" apt-get update -q
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
