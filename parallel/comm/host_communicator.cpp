#include "parallel/comm/host_communicator.h"

#include <cstdio>

#include "core/base/error.h"
#include "core/comm/call_check.h"
#include "core/comm/self_communicator.h"
#include "parallel/comm/checked_operation.h"
#include "parallel/comm/host_request.h"
#include "parallel/comm/messages.h"
#include "parallel/comm/network_move.h"
#include "parallel/comm/network_reduce.h"
#include "parallel/comm/shared_fetch.h"
#include "parallel/comm/shared_publish.h"
#include "parallel/comm/shared_reduce.h"
#include "parallel/watchdog/flight_record.h"

namespace edgetrain {
namespace {

bool is_message(Collective op) { return op == Collective::send || op == Collective::recv; }

bool takes_shared_path(const MpiComm& comm, const std::string& name, const HostCommOptions& options) {
  if (comm.size() == 1 || options.path == CommPath::network) return false;
  const bool one_node = comm.on_this_node().size() == comm.size();
  if (!one_node && options.path == CommPath::shared) {
    throw Error(ErrorClass::resource,
                fmt::format("'{}' is asked to use shared memory, but its {} members are on "
                            "several nodes (this one is on {})",
                            name, comm.size(), host_name()));
  }
  return one_node;  // the same answer on every member: a node holds all of them or fewer
}

std::unique_ptr<Operation> network_operation(const CommCall& call, Algorithm algorithm,
                                             const NetworkContext& context, std::span<std::byte> scratch) {
  switch (algorithm) {
    case Algorithm::network_direct:
      return network_direct_reduce(call, context, scratch);
    case Algorithm::network_doubling:
      return network_doubling_reduce(call, context, scratch);
    case Algorithm::network_parts:
      return network_parts_reduce(call, context, scratch);
    case Algorithm::network_gather:
      return network_all_gather(call, context);
    case Algorithm::network_broadcast:
      return network_broadcast(call, context);
    case Algorithm::network_exchange:
      return network_all_to_all(call, context);
    default:
      return network_message(call, context);
  }
}

}  // namespace

HostCommunicator::HostCommunicator(MpiComm comm, std::string name, const HostCommOptions& options,
                                   ProgressList& progress, FlightRecord* flight)
    : comm_(std::move(comm)),
      name_(std::move(name)),
      options_(options),
      group_{comm_.size(), comm_.rank(), takes_shared_path(comm_, name_, options)},
      progress_list_(progress),
      flight_(flight) {
  if (group_.shared) window_.emplace(comm_, options_.slots, slot_data_bytes(group_.size, options_));
  if (flight_ != nullptr) flight_group_ = flight_->add_group(name_, comm_.world_ranks());
  progress_list_.add(*this);
}

HostCommunicator::~HostCommunicator() {
  progress_list_.remove(*this);
  if (under_way_ == 0) return;
  std::fprintf(stderr, "edgetrain: group '%s' is closed with %zu calls under way\n", name_.c_str(),
               under_way_);
  fail_all(std::make_exception_ptr(Error(ErrorClass::internal, fmt::format("group '{}' was closed", name_))));
}

std::int64_t HostCommunicator::scratch_bytes(const CommCall& call) const {
  return host_cost(call, group_, options_).scratch_bytes;
}

std::int64_t HostCommunicator::sent_bytes(const CommCall& call) const {
  return host_cost(call, group_, options_).sent_bytes;
}

HostCommunicator::LaneState& HostCommunicator::lane_of(const CommCall& call) {
  return is_message(call.op) ? messages_[{call.peer, call.op}] : collectives_;
}

std::uint64_t HostCommunicator::stamp(const CommCall& call, std::uint64_t sequence) {
  if (flight_ == nullptr) return 0;
  const bool has_peer = is_message(call.op) || call.op == Collective::broadcast;
  const int peer = has_peer ? comm_.world_ranks()[static_cast<std::size_t>(call.peer)] : -1;
  return flight_->start({flight_group_, sequence, call.op, payload_of(call).bytes(), peer, call.site});
}

std::unique_ptr<Operation> HostCommunicator::shared_operation(const CommCall& call, Algorithm algorithm,
                                                              std::uint64_t sequence) {
  const SharedContext context{*window_,
                              name_,
                              comm_.world_ranks(),
                              &sent_.by_op[static_cast<std::size_t>(call.op)],
                              &moves_,
                              options_.stream_bytes};
  const CallSignature signature = signature_of(call, sequence);
  if (algorithm == Algorithm::shared_direct) return shared_direct_reduce(call, context, signature);
  if (algorithm == Algorithm::shared_parts) return shared_reduce(call, context, signature);
  const bool fetches = window_->reads_peers() && call.in.bytes() >= options_.fetch_bytes;
  if (fetches) return shared_fetch(call, context, signature);
  return call.op == Collective::broadcast ? shared_broadcast(call, context, signature)
                                          : shared_all_gather(call, context, signature);
}

NetworkContext HostCommunicator::network_context(const CommCall& call, std::uint64_t sequence) {
  const int tag = is_message(call.op) ? kMessageTag : collective_tag(sequence);
  return {comm_, options_, &sent_.by_op[static_cast<std::size_t>(call.op)], &moves_, tag};
}

std::unique_ptr<Operation> HostCommunicator::operation_for(const CommCall& call, std::uint64_t sequence,
                                                           std::span<std::byte> scratch) {
  const Algorithm algorithm = algorithm_for(call, group_, options_);
  if (algorithm == Algorithm::nothing) return nullptr;
  if (is_shared(algorithm)) return shared_operation(call, algorithm, sequence);
  const NetworkContext context = network_context(call, sequence);
  auto operation = network_operation(call, algorithm, context, scratch);
  if (!options_.check_calls || is_message(call.op)) return operation;
  return std::make_unique<CheckedOperation>(context, name_, signature_of(call, sequence),
                                            std::move(operation));
}

Request HostCommunicator::start(const CommCall& call, const Stream&, std::span<std::byte> scratch) {
  if (failure_) std::rethrow_exception(failure_);
  check_call(call, size(), rank());
  if (size() == 1) {
    complete_alone(call);
    return {};
  }
  const std::int64_t needed = scratch_bytes(call);
  ET_CHECK(static_cast<std::int64_t>(scratch.size()) >= needed,
           "{} at '{}': {} bytes of scratch, {} are needed", name_of(call.op), call.site, scratch.size(),
           needed);
  LaneState& lane = lane_of(call);
  const std::uint64_t sequence = lane.started++;
  const std::uint64_t token = stamp(call, sequence);
  auto request = std::make_shared<HostRequest>(
      *this, call, sequence, operation_for(call, sequence, scratch.first(static_cast<std::size_t>(needed))),
      token);
  lane.queue.push_back(request);
  ++under_way_;
  progress();
  return Request(std::move(request));
}

void HostCommunicator::progress(Queue& queue) noexcept {
  while (!queue.empty() && queue.front()->advance()) {
    const std::shared_ptr<HostRequest> ended = std::move(queue.front());
    queue.pop_front();
    --under_way_;
    if (ended->failure()) return fail_all(ended->failure());
    if (flight_ != nullptr) flight_->finish(ended->flight_token());
  }
}

void HostCommunicator::progress() noexcept {
  if (under_way_ == 0) return;
  if (flight_ != nullptr) flight_->polled();
  progress(collectives_.queue);
  for (auto& [lane, state] : messages_) progress(state.queue);
}

void HostCommunicator::progress_for(const HostRequest& request) noexcept {
  progress();
  if (!request.over()) progress_list_.progress_others(*this);
}

void HostCommunicator::fail_all(const std::exception_ptr& failure) noexcept {
  failure_ = failure;
  const auto fail_queue = [&](Queue& queue) {
    for (const auto& request : queue) request->fail(failure);
    queue.clear();
  };
  fail_queue(collectives_.queue);
  for (auto& [lane, state] : messages_) fail_queue(state.queue);
  under_way_ = 0;
}

}  // namespace edgetrain
