// SIGUSR1 (forwarded by mpirun and by Slurm) and SIGTERM ask a run to save a checkpoint and end with exit
// code 75.
//
// The handler only sets a flag; the flag travels with the next agreement, so that all ranks stop after the
// same step.
#pragma once

namespace edgetrain {

/// Call before MPI_Init. A second signal of the kind has its default effect: it ends the process.
void install_stop_signals();
[[nodiscard]] bool stop_signal_received();

}  // namespace edgetrain
