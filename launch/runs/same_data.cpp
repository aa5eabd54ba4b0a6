#include "launch/runs/same_data.h"

#include <chrono>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/io/text_exchange.h"
#include "core/io/verdict.h"
#include "parallel/comm/mpi.h"

namespace edgetrain {
namespace {

// What rank 0 makes of all fingerprints.
std::string verdict_on(const std::vector<std::string>& all, const std::vector<std::string>& hosts) {
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    return bad_verdict(ErrorClass::data,
                       fmt::format("the ranks read different data: rank {} on {} has {}, rank 0 on {} has {}"
                                   "\nHINT: data.path must lead every rank to the same files",
                                   rank, hosts[rank], all[rank], hosts[0], all[0]));
  }
  return good_verdict("");
}

}  // namespace

void require_same_data(const DataFingerprint& mine, Communicator& world) {
  if (world.size() == 1) return;
  std::vector<std::byte> staging(64 << 10);
  TextExchange exchange(world, "data of all ranks", staging, std::chrono::minutes(5));
  const auto all = exchange.gather(describe(mine));
  const auto hosts = exchange.gather(host_name());
  (void)text_or_throw(exchange.broadcast(world.rank() == 0 ? verdict_on(all, hosts) : ""));
}

}  // namespace edgetrain
