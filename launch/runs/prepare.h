// From a command line to a plan that is ready to run: everything that can be known and refused before MPI
// starts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "launch/job/facts.h"
#include "launch/job/override.h"
#include "launch/job/resolve.h"
#include "launch/runs/rank_plan.h"

namespace edgetrain {

/// Which rank of how many this process is, as far as it was told.
struct Place {
  int rank = 0, world = 1, ranks_on_node = 1;
};

struct PreparedRun {
  Place place;
  ResolvedJob resolved;
  ModelConfig model;
  std::string model_json;             // config.json of the model
  std::vector<std::string> warnings;  // for the banner
  std::int64_t overhead_bytes = 0;    // C: see overhead.h
  std::unique_ptr<RankPlan> plan;
  [[nodiscard]] const Job& job() const { return resolved.job; }
  [[nodiscard]] std::int64_t device_cap() const { return job().memory.device->count; }
};

/// Parses, checks, resolves and plans. Throws JobError with every problem, formatted for the terminal.
[[nodiscard]] PreparedRun prepare_run(const std::string& job_path, const std::vector<Override>& overrides,
                                      const Place& place);

/// Throws JobError with the arithmetic and the nearest micro-batch that fits unless the plan fits into
/// memory.device.
void require_fit(const PreparedRun& run);

/// What a collective of `size` ranks costs on the host backend, for the planner.
[[nodiscard]] RankPlan::CommCostOf host_comm_cost(const Place& place);

}  // namespace edgetrain
