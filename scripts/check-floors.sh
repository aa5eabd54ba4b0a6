#!/usr/bin/env bash
# The floors of docs/architecture.md: no include runs upward or sideways, core knows neither MPI nor YAML, CUDA stays in
# its folders. Prints every line that breaks a rule. Looks at this tree, or at the one that is named.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
broken=0
forbid() {  # forbid FOLDER REGEX WHY [EXCEPT]
  [ -d "$1" ] || return 0
  local found
  found=$(find "$1" -name '*.h' -o -name '*.cpp' -o -name '*.cu' | grep -vE "${4:-^$}" |
    xargs -r grep -HnE "#include *[<\"]($2)" || true)
  if [ -n "$found" ]; then
    echo "$3:"
    echo "$found"
    broken=1
  fi
}
forbid core 'mpi\.h|yaml-cpp|nccl' 'core knows neither MPI nor YAML'
forbid core '(parallel|offload|optim|infer|cluster|launch)/' 'core stands on nothing of ours'
forbid parallel '(offload|optim|infer|cluster|launch)/' 'parallel knows core alone'
forbid offload '(parallel|optim|infer|cluster|launch)/' 'offload knows core alone'
forbid optim '(parallel|offload|infer|cluster|launch)/' 'optim knows core alone'
forbid infer '(cluster|launch)/' 'infer stands below launch'
forbid cluster '(infer|launch)/' 'cluster stands below launch'
for folder in core parallel offload optim infer cluster launch; do
  forbid "$folder" 'cuda|cublas' 'CUDA stays in its folders' '^core/(ops|device)/cuda/'
done
[ $broken -eq 0 ] && echo "floors: right"
exit $broken
