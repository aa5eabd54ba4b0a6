#include "parallel/comm/make_communicator.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/comm/self_communicator.h"

namespace edgetrain {
namespace {

// Groups that are made at the same time and share two ranks differ in their members, so in their tag, but for
// chance.
int creation_tag(std::span<const int> ranks) {
  std::uint32_t hash = 2166136261U;
  for (const int rank : ranks) hash = (hash ^ static_cast<std::uint32_t>(rank)) * 16777619U;
  return static_cast<int>(hash % 32000U);
}

}  // namespace

std::unique_ptr<Communicator> make_communicator(const MpiComm& world, std::span<const int> ranks,
                                                const std::string& name, const HostCommOptions& options,
                                                ProgressList& progress, FlightRecord* flight) {
  ET_CHECK(std::find(ranks.begin(), ranks.end(), world.rank()) != ranks.end(), "rank {} is not in group '{}'",
           world.rank(), name);
  if (ranks.size() == 1) return std::make_unique<SelfCommunicator>(name);
  return std::make_unique<HostCommunicator>(world.group(ranks, creation_tag(ranks)), name, options, progress,
                                            flight);
}

}  // namespace edgetrain
