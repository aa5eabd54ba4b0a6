// Is a process of this host alive, stopped or gone?
#pragma once

#include <cstdint>

namespace edgetrain {

enum class ProcessState : std::uint8_t { running, stopped, dead };

/// Field 22 of /proc/<pid>/stat, the time at which the process started; 0 if there is no such process.
[[nodiscard]] std::uint64_t process_start(int pid);
/// `start` guards against a pid that is used again; a zombie is dead. Does not throw.
[[nodiscard]] ProcessState probe_process(int pid, std::uint64_t start);

}  // namespace edgetrain
