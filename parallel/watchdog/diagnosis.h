// Who holds up the job: all ranks' flight records compared, and one verdict for a person.
//
// How it decides, strongest evidence first:
//   1. a process of this host that is gone or stopped;
//   2. a rank that others wait for in a call that it never started, and that itself waits for nobody who is
//   missing
//      (so a chain of waits is followed to its end; a ring of waits blames all ranks in it);
//   3. a rank that started everything but has not polled its communication while the others have;
//   4. a rank without a record;
//   5. otherwise whoever has been longest in one phase.
// Pure over the files and the probe: tests write files and need no MPI.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "parallel/watchdog/process_probe.h"

namespace edgetrain {

struct Diagnosis {
  std::vector<int> culprits;  // ranks of the world, ascending
  std::string text;           // the verdict, then a line per rank (at most 16)
};

using ProcessProbe = std::function<ProcessState(int pid, std::uint64_t start)>;

/// Reads `<dir>/flight-<rank>.bin` of all ranks. `now_ns`: flight_now(). Only processes of `host` are probed.
[[nodiscard]] Diagnosis diagnose(const std::filesystem::path& dir, int world_size, std::int64_t now_ns,
                                 const std::string& host, const ProcessProbe& probe = probe_process);

/// The ranks whose record says that they run on `host`.
[[nodiscard]] std::vector<int> ranks_on(const std::filesystem::path& dir, int world_size,
                                        const std::string& host);
/// Those of `ranks`, all on this host, whose process is gone although it had not closed its record.
[[nodiscard]] std::vector<int> dead_among(const std::filesystem::path& dir, const std::vector<int>& ranks,
                                          const ProcessProbe& probe = probe_process);

}  // namespace edgetrain
