#!/usr/bin/env bash
# Negative control of scripts/check-floors.sh: each wrong include is noticed and named, right ones are not.
set -euo pipefail
check="$(cd "$(dirname "$0")/../.." && pwd)/scripts/check-floors.sh"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

verdict_of() {  # verdict_of FILE INCLUDE: exit code and output of the check on a tree of this one file
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/$(dirname "$1")"
  echo "#include $2" > "$tree/$1"
  local code=0 output
  output=$("$check" "$tree" 2>&1) || code=$?
  echo "$code $output"
}
wrong() {
  [[ "$(verdict_of "$1" "$2")" == 1*"$1:1:#include $2"* ]] || { echo "not noticed: $2 in $1"; failed=1; }
}
right() {
  [[ "$(verdict_of "$1" "$2")" == "0 floors: right" ]] || { echo "not allowed: $2 in $1"; failed=1; }
}

wrong core/data/files.cpp '<mpi.h>'
wrong core/base/error.cpp '<yaml-cpp/yaml.h>'
wrong core/data/order_config.h '"optim/sgd.h"'
wrong core/tensor/tensor.cu '<cuda_runtime.h>'
wrong parallel/zero/reduce.h '"optim/sgd.h"'
wrong offload/store.h '"parallel/comm/host.h"'
wrong optim/sgd.h '"offload/store.h"'
wrong infer/server.cpp '"cluster/probe.h"'
wrong cluster/probe.h '"infer/server.h"'
wrong cluster/probe.cpp '"launch/job/job.h"'
wrong launch/main.cpp '<cublas_v2.h>'

right core/ops/cuda/norm.cu '<cuda_runtime.h>'
right parallel/zero/reduce.h '"core/comm/communicator.h"'
right infer/server.cpp '"parallel/comm/host.h"'
right cluster/probe.cpp '"offload/store.h"'
right launch/runs/run.cpp '"cluster/probe.h"'
[ $failed -eq 0 ] && echo "check-floors: right"
exit $failed
