#include "launch/cli/launcher.h"

#include <cstdlib>

#include "launch/job/scalar.h"

namespace edgetrain {
namespace {

std::optional<std::int64_t> number(const Environment& environment, const char* name) {
  const auto text = environment(name);
  if (!text) return std::nullopt;
  const auto parsed = parse_integer(*text);
  return parsed.value && *parsed.value >= 0 ? parsed.value : std::nullopt;
}

struct Variables {
  const char* rank;
  const char* world_size;
  const char* ranks_on_node;
};

// SLURM_STEP_NUM_TASKS exists inside srun only, unlike SLURM_PROCID.
constexpr Variables kLaunchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"},
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},
};

}  // namespace

Launcher launcher_from(const Environment& environment) {
  for (const auto& names : kLaunchers) {
    Launcher launcher{number(environment, names.rank), number(environment, names.world_size),
                      number(environment, names.ranks_on_node)};
    if (launcher.rank && launcher.world_size) return launcher;
  }
  return {number(environment, "PMIX_RANK"), std::nullopt, std::nullopt};
}

Launcher this_launcher() {
  return launcher_from([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

std::int64_t launcher_rank() { return this_launcher().rank.value_or(0); }

}  // namespace edgetrain
