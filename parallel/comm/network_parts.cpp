// The parts algorithm of network_reduce.h.
#include <algorithm>
#include <memory>
#include <vector>

#include "parallel/comm/network_reduce.h"
#include "parallel/comm/parts.h"
#include "parallel/comm/tree_sum.h"

namespace edgetrain {
namespace {

// Receives the own part from all peers, `depth` segments deep, and sums each segment when the last peer's has
// come. Scratch: for each segment in flight, one segment per peer, in peer order without the own rank.
class PartSummer {
 public:
  PartSummer(const CommCall& call, const NetworkContext& context, std::span<std::byte> scratch)
      : call_(call),
        size_(context.comm.size()),
        rank_(context.comm.rank()),
        tag_(context.tag),
        width_(size_of(call.in.dtype)),
        segment_(context.options.segment_bytes / width_),
        part_(part_of(call.in.numel(), size_, rank_)),
        depth_(std::min<std::int64_t>(context.options.depth, pieces(part_.count(), segment_))),
        scratch_(scratch.data()),
        missing_(static_cast<std::size_t>(context.options.depth)),
        sources_(static_cast<std::size_t>(size_)),
        messages_(context.messages()) {
    for (std::int64_t k = 0; k < depth_; ++k) post();
  }

  bool advance() {
    for (auto done = messages_.poll(); !done.empty(); done = messages_.poll()) {
      for (const std::int64_t segment : done) --missing_of(segment);
      while (summed_ < posted_ && missing_of(summed_) == 0) {
        sum();
        if (posted_ < pieces(part_.count(), segment_)) post();
      }
    }
    return summed_ == pieces(part_.count(), segment_);
  }

 private:
  [[nodiscard]] int& missing_of(std::int64_t segment) {
    return missing_[static_cast<std::size_t>(segment % depth_)];
  }

  [[nodiscard]] std::byte* place(std::int64_t segment, int peer) const {
    const std::int64_t longest = std::min(segment_, part_.count());
    const std::int64_t column = peer < rank_ ? peer : peer - 1;
    return scratch_ + ((segment % depth_) * (size_ - 1) + column) * longest * width_;
  }

  void post() {
    const PartRange range = segment_of(part_, segment_, posted_);
    for (int step = 1; step < size_; ++step) {
      const int peer = (rank_ + step) % size_;
      messages_.receive({place(posted_, peer), static_cast<std::size_t>(range.count() * width_)}, peer, tag_,
                        posted_);
    }
    missing_of(posted_) = size_ - 1;
    ++posted_;
  }

  void sum() {
    const PartRange range = segment_of(part_, segment_, summed_);
    for (int rank = 0; rank < size_; ++rank) {
      sources_[static_cast<std::size_t>(rank)] =
          rank == rank_ ? call_.in.data + range.begin * width_ : place(summed_, rank);
    }
    const std::int64_t first = call_.op == Collective::all_reduce ? 0 : part_.begin;
    reduce_tree(sources_, call_.out.data + (range.begin - first) * width_, range.count(), call_.in.dtype,
                call_.reduce_op);
    ++summed_;
  }

  CommCall call_;
  int size_, rank_, tag_;
  std::int64_t width_, segment_;
  PartRange part_;
  std::int64_t depth_;
  std::byte* scratch_;
  std::vector<int> missing_;  // per segment in flight: how many peers' are still to come
  std::vector<const std::byte*> sources_;
  Messages messages_;
  std::int64_t posted_ = 0, summed_ = 0;  // segments
};

std::span<std::byte> part_bytes(const Tensor& vector, int size, int index) {
  const PartRange part = part_of(vector.numel(), size, index);
  const std::int64_t width = size_of(vector.dtype);
  return {vector.data + part.begin * width, static_cast<std::size_t>(part.count() * width)};
}

class NetworkParts final : public Operation {
 public:
  NetworkParts(const CommCall& call, const NetworkContext& context, std::span<std::byte> scratch)
      : call_(call), context_(context), summer_(call, context, scratch), scatter_(whole_segments(context)) {
    for_each_peer([&](int peer) { scatter_.add_send(part_bytes(call.in, context.comm.size(), peer), peer); });
  }

  bool advance() override {
    if (!reduced_) {
      const bool sent = scatter_.advance();
      const bool summed = summer_.advance();
      if (!sent || !summed) return false;
      reduced_ = true;
      if (call_.op == Collective::all_reduce) start_gather();
    }
    return !gather_ || gather_->advance();
  }

 private:
  // Segments of whole elements, the same that the summer expects.
  [[nodiscard]] SegmentStreams whole_segments(const NetworkContext& context) const {
    const std::int64_t width = size_of(call_.in.dtype);
    return context.streams(0, context.options.segment_bytes / width * width);
  }

  // Starting behind the own rank, so that not all ranks talk to rank 0 first.
  template <class Body>
  void for_each_peer(Body body) const {
    const int size = context_.comm.size();
    for (int step = 1; step < size; ++step) body((context_.comm.rank() + step) % size);
  }

  // Only after all sends of the first phase: they read memory that may be `out`.
  void start_gather() {
    gather_.reset(new SegmentStreams(context_.streams(1, context_.options.segment_bytes)));  // made in place
    const int size = context_.comm.size();
    for_each_peer([&](int peer) {
      gather_->add_send(part_bytes(call_.out, size, context_.comm.rank()), peer);
      gather_->add_receive(part_bytes(call_.out, size, peer), peer);
    });
  }

  CommCall call_;
  NetworkContext context_;
  PartSummer summer_;
  SegmentStreams scatter_;
  std::unique_ptr<SegmentStreams> gather_;
  bool reduced_ = false;
};

}  // namespace

std::unique_ptr<Operation> network_parts_reduce(const CommCall& call, const NetworkContext& context,
                                                std::span<std::byte> scratch) {
  return std::make_unique<NetworkParts>(call, context, scratch);
}

}  // namespace edgetrain
