// A trace of chosen steps, in the Chrome JSON format that Perfetto and chrome://tracing read: one process per
// rank, one track per lane. A run and a simulation of its program write the same format, so they can be laid
// side by side.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/program/driver.h"

namespace edgetrain {

struct TraceEvent {
  std::string name;
  Lane lane = Lane::compute;
  double begin_us = 0.0, duration_us = 0.0;
};

/// Collects events while open; bounded, since viewers fail on huge files.
class Trace final : public DriverListener {
 public:
  static constexpr std::size_t kMaxEvents = 1'000'000;

  /// Names of units and buckets are for the event names.
  Trace(std::vector<std::string> units, std::vector<std::string> buckets);
  void open() { open_ = true; }
  void close() { open_ = false; }

  void issued(const Instr& instr, std::size_t index) override;
  void completed(const Instr& instr, std::size_t index) override;
  void waiting(const Instr& instr, const Request& pending) override;

  [[nodiscard]] const std::vector<TraceEvent>& events() const { return events_; }
  /// Replaces the file. Errors: Error(resource).
  void write(const std::filesystem::path& path, int rank) const;

 private:
  [[nodiscard]] double now_us() const;
  std::vector<std::string> units_, buckets_;
  std::chrono::steady_clock::time_point origin_ = std::chrono::steady_clock::now();
  bool open_ = false;
  std::vector<double> began_;  // per instruction that is under way
  std::vector<TraceEvent> events_;
};

/// Chrome JSON of `events` as one process `rank`.
[[nodiscard]] std::string to_chrome_json(const std::vector<TraceEvent>& events, int rank);

}  // namespace edgetrain
