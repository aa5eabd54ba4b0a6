#include "launch/runs/overhead.h"

#include <algorithm>
#include <iterator>

#include "core/trace/trace.h"
#include "launch/job/facts.h"
#include "parallel/comm/host_cost.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kMebibyte = 1 << 20;
constexpr std::int64_t kGroups = 2;  // of all ranks: "world" and "dp"
// Upper bounds of what was measured: docs/proofs.md.
constexpr std::int64_t kInstructionBytes = 2 << 10;
constexpr std::int64_t kTraceEventBytes = 1
                                          << 10;  // the event, and its line of JSON while the file is written
constexpr std::int64_t kThreadBytes = 128 << 10;  // stack and malloc arena

std::int64_t window_bytes(const Place& place) {
  const bool shared = place.world > 1 && place.ranks_on_node == place.world;
  return shared ? kGroups * shared_window_bytes(place.world, HostCommOptions{}) : 0;
}

}  // namespace

Bookkeeping bookkeeping_of(const RankPlan& plan, const LoggingConfig& logging) {
  Bookkeeping out;
  for (const PlannedProgram* planned : {&plan.train(), plan.validate(), plan.generate()}) {
    if (planned != nullptr) out.instructions += std::ssize(planned->program.instrs);
  }
  // Every instruction; where there are peers, at most one wait before each.
  const std::int64_t per_step = std::ssize(plan.train().program.instrs) * (plan.mesh().size() > 1 ? 2 : 1);
  out.trace_events = std::min<std::int64_t>(per_step * std::ssize(logging.trace_steps), Trace::kMaxEvents);
  out.threads = plan.spec().threads;
  return out;
}

std::int64_t overhead_bytes(const Place& place, const Bookkeeping& bookkeeping) {
  const std::int64_t bytes =
      kProcessOverheadBytes + window_bytes(place) + kInstructionBytes * bookkeeping.instructions +
      kTraceEventBytes * bookkeeping.trace_events + kThreadBytes * (bookkeeping.threads - 1);
  return (bytes + kMebibyte - 1) / kMebibyte * kMebibyte;
}

}  // namespace edgetrain
