#!/usr/bin/env bash
# The floors of docs/architecture.md: no include runs upward or sideways, core knows neither MPI nor YAML, CUDA stays in
# its folders. Prints every line that breaks a rule.
set -euo pipefail
cd "$(dirname "$0")/.."
broken=0
forbid() {  # forbid FOLDER REGEX WHY [EXCEPT]
  local found
  found=$(git ls-files "$1/*.h" "$1/*.cpp" "$1/*.cu" | grep -vE "${4:-^$}" | xargs -r grep -nE "#include *[<\"]($2)" || true)
  if [ -n "$found" ]; then
    echo "$3:"
    echo "$found"
    broken=1
  fi
}
forbid core 'mpi\.h|yaml-cpp|nccl' 'core knows neither MPI nor YAML'
forbid core '(parallel|offload|optim|infer|cluster|launch)/' 'core stands on nothing of ours' '^core/data/.*_config'
forbid parallel '(offload|optim|infer|cluster|launch)/' 'parallel knows core alone'
forbid offload '(parallel|optim|infer|cluster|launch)/' 'offload knows core alone'
forbid optim '(parallel|offload|infer|cluster|launch)/' 'optim knows core alone'
forbid infer '(cluster|launch)/' 'infer stands below launch'
for folder in core parallel offload optim infer launch; do
  forbid "$folder" 'cuda|cublas' 'CUDA stays in its folders' '^core/(ops|device)/cuda/'
done
[ $broken -eq 0 ] && echo "floors: right"
exit $broken
