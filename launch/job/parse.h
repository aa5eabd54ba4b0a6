// job.yaml and the overrides after it -> Job. Strict: what is not understood is a problem, and all problems
// are found in one pass. No problems means: every key is known, typed and in range. Whether the keys fit
// together, and whether this version can run them, is check.h's business.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "launch/job/bind.h"
#include "launch/job/job.h"
#include "launch/job/override.h"
#include "launch/job/problem.h"

namespace edgetrain {

struct ParsedJob {
  Job job;
  WrittenKeys written;
  std::vector<Problem> problems;
  std::shared_ptr<const Source> source;
  std::string name;  // of the job file, without folder and ending: "austen"

  [[nodiscard]] bool is_written(std::string_view full_name) const {
    return written.find(full_name) != written.end();
  }
  /// The value of a written key or of a field of model.config; the file as a whole for any other.
  [[nodiscard]] Location place_of(std::string_view full_name) const;
};

/// Reads a job file, the files that it extends, and the overrides.
[[nodiscard]] ParsedJob parse_job_file(const std::string& path, std::span<const Override> overrides = {});

/// The same for a text that is called `name` in messages; `extends` is relative to the folder of `name`.
[[nodiscard]] ParsedJob parse_job_text(std::string text, const std::string& name,
                                       std::span<const Override> overrides = {});

}  // namespace edgetrain
