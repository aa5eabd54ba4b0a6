// A rank's flight record as values, read while its owner may still be writing, or long dead.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/comm/communicator.h"

namespace edgetrain {

/// One call as it was stamped.
struct FlightCall {
  std::uint32_t group = 0;  // index into FlightLog::groups
  std::uint64_t sequence = 0;
  Collective op = Collective::all_reduce;
  std::int64_t bytes = 0;
  int peer = -1;
  std::string site;
  std::int64_t started_ns = 0;
  bool finished = false;
};

struct FlightGroupLog {
  std::string name;
  std::vector<int> ranks;
  std::uint64_t collectives_started = 0;
};

/// The process that writes (wrote) a record.
struct FlightOwner {
  int rank = 0, pid = 0;
  std::uint64_t process_start = 0;
  std::string host;
  bool closed = false;  // it is done with communication: its end is no accident
};

/// Times are nanoseconds of CLOCK_REALTIME.
struct FlightLog {
  FlightOwner owner;
  std::int64_t polled_ns = 0;
  std::int64_t step = 0, phase_since_ns = 0;
  std::string phase;
  std::vector<FlightGroupLog> groups;
  std::vector<FlightCall> calls;  // at most the last 256, oldest first; torn ones left out
};

/// Nothing when there is no complete record of this build there.
[[nodiscard]] std::optional<FlightLog> read_flight(const std::filesystem::path& path);
/// The first lines only, for frequent looks.
[[nodiscard]] std::optional<FlightOwner> read_flight_owner(const std::filesystem::path& path);
/// The clock of the stamps, now.
[[nodiscard]] std::int64_t flight_now();

}  // namespace edgetrain
