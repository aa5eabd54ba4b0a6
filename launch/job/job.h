// A job: everything that a person may say about a run, as a typed value. It is made by parse.h, judged by
// check.h and completed by resolve.h; its keys, limits and words are the table in schema.h, which binds to
// the members below. Defaults are the member initialisers and stand nowhere else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/data/config.h"
#include "launch/job/sections.h"
#include "optim/config.h"
#include "parallel/config.h"

namespace edgetrain {

/// The version of the job format that this build reads and writes.
inline constexpr std::int64_t kJobSchema = 1;

struct Job {
  std::int64_t schema = kJobSchema;
  Task task = Task::train;
  std::optional<std::string> output_dir;  // auto: runs/<name of the job file>
  std::int64_t seed = 1234;
  Reproducible reproducible = Reproducible::no;
  ModelSelection model;
  DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  LrSchedulerConfig lr_scheduler;
  ParallelConfig parallel;
  MemoryConfig memory;
  PlaceConfig place;
  CheckpointConfig checkpoint;
  LoggingConfig logging;
  GenerateConfig generate;
};

}  // namespace edgetrain
