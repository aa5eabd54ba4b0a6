#!/usr/bin/env bash
# Compiles the CUDA device and its stand-alone tests wherever the toolkit is found; running them needs a GPU and is done by
# hand: build/cuda/tests/cuda_test.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc > /dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
  echo "cuda: no toolkit here, nothing to compile"
  exit 0
fi
cmake --preset cuda > /dev/null
cmake --build --preset cuda --target edgetrain_cuda_ops cuda_test
echo "cuda: compiles"
