#include "launch/runs/overhead.h"

#include "launch/job/facts.h"
#include "parallel/comm/host_cost.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kMebibyte = 1 << 20;
constexpr std::int64_t kGroups = 2;  // of all ranks: "world" and "dp"

}  // namespace

std::int64_t overhead_bytes(const Place& place) {
  const bool shared = place.world > 1 && place.ranks_on_node == place.world;
  const std::int64_t windows = shared ? kGroups * shared_window_bytes(place.world, HostCommOptions{}) : 0;
  return (kProcessOverheadBytes + windows + kMebibyte - 1) / kMebibyte * kMebibyte;
}

}  // namespace edgetrain
