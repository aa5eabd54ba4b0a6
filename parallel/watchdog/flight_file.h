// The layout of a flight record on disk: fixed, so that any rank of the same build reads any other's.
#pragma once

#include <atomic>
#include <cstdint>

namespace edgetrain {

inline constexpr char kFlightMagic[8] = {'E', 'T', 'F', 'L', 'I', 'G', 'H', 'T'};
inline constexpr std::uint32_t kFlightVersion = 1;
inline constexpr int kFlightStamps = 256;
inline constexpr int kFlightGroups = 32;

/// A call. Valid if `number` is the same before and after reading it and is not 0; stamps are numbered from
/// 1, stamp n lies at (n - 1) % kFlightStamps.
struct FlightSlot {
  std::atomic<std::uint64_t> number;
  std::uint64_t sequence;
  std::int64_t started_ns;                // CLOCK_REALTIME
  std::atomic<std::int64_t> finished_ns;  // 0: under way
  std::int64_t bytes;
  std::uint32_t group;
  std::int32_t peer;
  std::int64_t step;
  std::uint8_t op;
  char site[71];
};
static_assert(sizeof(FlightSlot) == 128);

/// A group that this rank is in. Members are `size` ints from `first_member` in the pool behind the stamps.
struct FlightGroup {
  char name[24];
  std::uint32_t size, first_member;
  std::atomic<std::uint64_t> collectives_started;  // outlives the ring
};
static_assert(sizeof(FlightGroup) == 40);

/// `version` is odd while being written.
struct FlightPhase {
  std::atomic<std::uint64_t> version;
  std::int64_t step;
  std::int64_t since_ns;
  char text[112];
};

struct FlightFile {
  char magic[8];
  std::uint32_t version;
  std::int32_t rank, world_size, pid;
  std::uint64_t process_start;  // field 22 of /proc/<pid>/stat: a pid alone may be used again
  char host[64];
  std::uint32_t pool_ints;                // members behind this struct
  std::atomic<std::uint32_t> groups;      // entries in use
  std::atomic<std::uint32_t> closed;      // 1: the process is done with communication and may end
  std::atomic<std::uint64_t> last_stamp;  // 0: none
  std::atomic<std::int64_t> polled_ns;
  FlightPhase phase;
  FlightGroup group[kFlightGroups];
  FlightSlot ring[kFlightStamps];

  [[nodiscard]] std::int32_t* members() { return reinterpret_cast<std::int32_t*>(this + 1); }
  [[nodiscard]] const std::int32_t* members() const {
    return reinterpret_cast<const std::int32_t*>(this + 1);
  }
};

/// Members of all groups that a rank of this world may be in.
[[nodiscard]] constexpr std::uint32_t flight_pool_ints(int world_size) {
  return static_cast<std::uint32_t>(8 * world_size + 64);
}

}  // namespace edgetrain
