// The host backend of Communicator: own collectives over shared memory inside a node and MPI messages across
// nodes.
//
// Why own algorithms: MPI's collectives allocate up to twice the message outside every pool, promise no order
// of summation, and leave most of the memory bandwidth unused. Here scratch, bytes and order are known before
// the run (host_cost.h), and everything is a state machine that the driver polls; there are no helper
// threads.
#pragma once

#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/comm/communicator.h"
#include "parallel/comm/host_cost.h"
#include "parallel/comm/mpi.h"
#include "parallel/comm/progress.h"
#include "parallel/comm/shared_window.h"

namespace edgetrain {

class FlightRecord;
class HostRequest;
class Operation;
struct NetworkContext;

/// Collectives of one communicator run one after the other, in start order; each is started as soon as the
/// one before is complete on this rank. send and recv run beside them, in order per peer and direction.
/// Progress is made in start() and in test() of any request of this communicator or of its ProgressList.
/// Scratch is needed on the network path only (see host_cost); start() allocates nothing else over 64 KiB.
/// Errors: Error(peer) from the test() of the request that failed and of all later ones of this communicator.
class HostCommunicator final : public Communicator, private Progressable {
 public:
  /// Collective over `comm`, blocking: finds out whether the members share a node and maps the window if so.
  /// `progress` and `flight` (may be null) outlive the communicator. Errors: Error(resource) on every member
  /// when `options.path` is shared and they do not share a node, or there is no memory for the window.
  HostCommunicator(MpiComm comm, std::string name, const HostCommOptions& options, ProgressList& progress,
                   FlightRecord* flight);
  HostCommunicator(const HostCommunicator&) = delete;
  HostCommunicator& operator=(const HostCommunicator&) = delete;
  /// Local. What is still under way fails.
  ~HostCommunicator() override;

  [[nodiscard]] int size() const override { return comm_.size(); }
  [[nodiscard]] int rank() const override { return comm_.rank(); }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::int64_t scratch_bytes(const CommCall& call) const override;
  [[nodiscard]] std::int64_t sent_bytes(const CommCall& call) const override;
  [[nodiscard]] Request start(const CommCall& call, const Stream& producer,
                              std::span<std::byte> scratch) override;
  [[nodiscard]] const CommBytes& sent() const override { return sent_; }

  /// Bytes of the shared window, all of which this process touches (RssShmem); 0 on the network path.
  [[nodiscard]] std::int64_t shared_bytes() const { return window_ ? window_->bytes() : 0; }
  [[nodiscard]] const HostGroup& group() const { return group_; }
  [[nodiscard]] const HostCommOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<int>& world_ranks() const { return comm_.world_ranks(); }

 private:
  friend class HostRequest;
  using Lane = std::pair<int, Collective>;  // a peer and a direction
  using Queue = std::deque<std::shared_ptr<HostRequest>>;

  struct LaneState {
    std::uint64_t started = 0;
    Queue queue;
  };

  [[nodiscard]] LaneState& lane_of(const CommCall& call);
  [[nodiscard]] std::uint64_t stamp(const CommCall& call, std::uint64_t sequence);
  [[nodiscard]] std::unique_ptr<Operation> operation_for(const CommCall& call, std::uint64_t sequence,
                                                         std::span<std::byte> scratch);
  [[nodiscard]] std::unique_ptr<Operation> shared_operation(const CommCall& call, Algorithm algorithm,
                                                            std::uint64_t sequence);
  [[nodiscard]] NetworkContext network_context(const CommCall& call, std::uint64_t sequence);
  void progress() noexcept override;
  void progress(Queue& queue) noexcept;
  void progress_for(const HostRequest& request) noexcept;
  [[nodiscard]] std::uint64_t moves() const { return moves_; }
  void fail_all(const std::exception_ptr& failure) noexcept;

  MpiComm comm_;
  std::string name_;
  HostCommOptions options_;
  HostGroup group_;
  ProgressList& progress_list_;
  FlightRecord* flight_;
  std::optional<SharedWindow> window_;
  CommBytes sent_;
  std::uint32_t flight_group_ = 0;
  LaneState collectives_;
  std::map<Lane, LaneState> messages_;
  std::size_t under_way_ = 0;
  std::uint64_t moves_ = 0;  // of all calls: waiting for a later one is not idle while an earlier one moves
  std::exception_ptr failure_;  // the first; nothing can be trusted after it
};

}  // namespace edgetrain
