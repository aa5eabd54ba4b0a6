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
#include "launch/runs/job_plan.h"

namespace edgetrain {

struct PreparedRun {
  Place place;
  ResolvedJob resolved;
  ModelConfig model;
  std::string model_json;             // config.json of the model
  std::vector<std::string> warnings;  // for the banner
  std::int64_t overhead_bytes = 0;    // C: see overhead.h
  std::unique_ptr<RankPlan> plan;
  std::int64_t copied_bytes =
      0;  // of device memory, for checkpoints in the background; see checkpoint_room.h
  /// What the pools of a run take.
  [[nodiscard]] std::int64_t pool_bytes() const { return plan->arena_bytes() + copied_bytes; }
  [[nodiscard]] const Job& job() const { return resolved.job; }
  [[nodiscard]] std::int64_t device_cap() const { return job().memory.device->count; }
};

/// Parses, checks, resolves and plans. Throws JobError with every problem, formatted for the terminal.
[[nodiscard]] PreparedRun prepare_run(const std::string& job_path, const std::vector<Override>& overrides,
                                      const Place& place);

/// Whether a run of the resolved job would not go on from a checkpoint, as far as names tell: those that are
/// there may be damaged.
[[nodiscard]] bool begins_anew(const Job& job);

/// Throws JobError with the arithmetic and the nearest jobs that fit unless the plan, and what a start from
/// nothing takes, fit into memory.device.
void require_fit(const PreparedRun& run);

}  // namespace edgetrain
