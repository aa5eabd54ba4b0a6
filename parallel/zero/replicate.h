// Data parallelism as a pass over the program: sums the gradient of each bucket over its replicas as soon as
// backward has finished it, and gathers the updated weights where the optimizer was sharded (ZeRO-1,
// Rajbhandari et al. 2020).
//
// zero 0: all_reduce of the gradient, every rank updates everything.
// zero 1: reduce_scatter, every rank updates its shard, all_gather of the weights. The same bytes, and, since
// both sum in the
//         communicator's one tree, the same bits.
#pragma once

#include <vector>

#include "core/comm/communicator.h"
#include "core/program/driver.h"
#include "core/program/model_layout.h"
#include "core/program/program.h"

namespace edgetrain {

/// How a bucket is spread over the ranks that hold copies of it.
struct Replication {
  int zero = 0;   // 0 or 1
  int count = 1;  // replicas: dp x cp
  int index = 0;  // own place among them
  [[nodiscard]] bool sharded() const { return zero >= 1; }
  /// The elements of the bucket whose optimizer state and update are this rank's.
  [[nodiscard]] Range owned(const Bucket& bucket) const {
    return sharded() ? shard(bucket, index, count) : Range{0, bucket.elements};
  }
};

/// Index of the replica group in CommStep::group, for verify and simulate.
inline constexpr int kReplicaGroup = 0;
inline constexpr int kWorldGroup = 1;

/// Inserts `reduce` after the last backward or fold that writes a trainable bucket, and `gather` after its
/// update. Nothing for one replica. Run before residency.
void add_replication(Program& program, const ModelLayout& layout, const Replication& replication,
                     const Communicator& replicas);

/// The calls that reduce and gather make; addresses null when `base` is null (planning).
[[nodiscard]] CommCall reduce_call(const Bucket& bucket, const Replication& replication, std::byte* grad);
[[nodiscard]] CommCall gather_call(const Bucket& bucket, const Replication& replication, std::byte* param);

/// Executes reduce and gather.
class ReplicaHandler final : public Handler {
 public:
  ReplicaHandler(const ModelLayout& layout, const Program& program, std::byte* arena,
                 const Replication& replication, Communicator& replicas);
  Request issue(const Instr& instr, std::size_t index) override;

 private:
  [[nodiscard]] std::span<std::byte> scratch(const Instr& instr) const;
  const ModelLayout& layout_;
  const Program& program_;
  std::byte* arena_;
  const Replication& replication_;
  Communicator& replicas_;
  HostStream stream_;
  ObjectIndex objects_;
};

}  // namespace edgetrain
