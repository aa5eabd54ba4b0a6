// A command that a test starts, listens to, signals and always gets rid of.
//
// Why not popen or system: the tests kill ranks, stop them, and measure how soon a job ends. Why a mark in
// the environment: mpirun puts every rank into a process group of its own, and a rank whose mpirun was killed
// belongs to nobody, so neither a process group nor parentage finds all of them; what they inherit does.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace edgetrain::testing {

/// How a command ended.
struct Ended {
  int code = 0;          // exit code; 128 + n when signal n ended it; -1 when it timed out and was killed
  double seconds = 0.0;  // since it was started
  std::string output;    // stdout and stderr together, as they came
  [[nodiscard]] bool says(std::string_view text) const { return output.find(text) != std::string::npos; }
  /// How often `text` occurs.
  [[nodiscard]] int count(std::string_view text) const;
};

class Process {
 public:
  /// Starts `command` (found in PATH), with "KEY=value" added to the environment. Throws std::system_error.
  explicit Process(const std::vector<std::string>& command, const std::vector<std::string>& environment = {});
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  /// Kills and reaps the command and all that it started.
  ~Process();

  /// Waits for the command; kills it and its family when it takes longer.
  Ended wait(std::chrono::milliseconds timeout);
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] bool running();
  [[nodiscard]] std::string output() const;
  /// To the command itself (mpirun forwards SIGUSR1 to the ranks).
  void signal(int number) const;

  /// Processes of the family that mpirun started as ranks: pid of rank i at i. Fewer while they start and
  /// after they ended.
  [[nodiscard]] std::vector<int> rank_pids() const;
  /// All processes that the command started, and itself.
  [[nodiscard]] std::vector<int> family() const;

 private:
  void reap(bool block);
  void kill_family();

  std::string mark_;
  int pid_ = -1;
  int output_ = -1;  // memory file
  std::chrono::steady_clock::time_point begin_;
  std::optional<int> status_;  // as waitpid gave it
};

/// RssAnon + RssShmem of a process in bytes; 0 when it is gone.
[[nodiscard]] std::int64_t resident_bytes(int pid);

/// Polls `condition` every few milliseconds; false when it did not come true in time.
template <typename Condition>
[[nodiscard]] bool eventually(std::chrono::milliseconds timeout, const Condition& condition);

void nap();  // a few milliseconds

template <typename Condition>
bool eventually(std::chrono::milliseconds timeout, const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    nap();
  }
  return true;
}

}  // namespace edgetrain::testing
