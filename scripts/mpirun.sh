#!/usr/bin/env bash
# mpirun for tests and for `make run`: oversubscription allowed, and root allowed when we are root (containers, CI).
# Users call mpirun themselves; nothing in the binary depends on this wrapper.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
exec mpirun --oversubscribe --bind-to none "$@"
