// What the launcher says about this process, read from its variables before MPI is touched.
//
// Why: a wrong job must be refused before MPI_Init, by one rank, and the others must know that they are not
// it. Nothing that is computed may depend on these numbers; the mesh takes its ranks from MPI.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace edgetrain {

struct Launcher {
  std::optional<std::int64_t> rank;        // of this process; empty: started by hand
  std::optional<std::int64_t> world_size;  // empty: not told (then MPI says it later), or started by hand
  std::optional<std::int64_t> ranks_on_node;
};

/// Looks up one environment variable; empty if it is not set.
using Environment = std::function<std::optional<std::string>(const char*)>;

/// Open MPI's mpirun (OMPI_COMM_WORLD_*), Slurm's srun (SLURM_STEP_*, SLURM_PROCID), PMIx, and PMI, in this
/// order. A Slurm batch script alone is no launcher: it sets SLURM_PROCID too, but starts one process by
/// hand.
[[nodiscard]] Launcher launcher_from(const Environment& environment);

/// The same for the environment of this process.
[[nodiscard]] Launcher this_launcher();

/// Rank of this process; 0 when it was started by hand.
[[nodiscard]] std::int64_t launcher_rank();

}  // namespace edgetrain
