#include "parallel/comm/shared_reduce.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel/comm/parts.h"
#include "parallel/comm/tree_sum.h"

namespace edgetrain {
namespace {

std::int64_t section_elements(const SharedWindow& window, Dtype dtype) {
  return window.slot_data() / window.size() / size_of(dtype);
}

std::int64_t reduce_rounds(const CommCall& call, const SharedWindow& window) {
  const std::int64_t largest_part = part_of(call.in.numel(), window.size(), 0).count();
  return pieces(largest_part, section_elements(window, call.in.dtype));
}

// Round k works on segment k of every part; section j of a slot holds the segment of part j.
class SharedReduce final : public SharedOperation {
 public:
  SharedReduce(const CommCall& call, const SharedContext& context, const CallSignature& signature)
      : SharedOperation(context, signature, reduce_rounds(call, context.window)),
        call_(call),
        gathers_(call.op == Collective::all_reduce),
        width_(size_of(call.in.dtype)),
        section_(section_elements(context.window, call.in.dtype)),
        sources_(static_cast<std::size_t>(context.window.size())) {}

  bool advance() override {
    while (fill() || reduce() || drain()) {
    }
    return drained_ == rounds();
  }

 private:
  [[nodiscard]] PartRange segment(int part, std::int64_t round) const {
    return segment_of(part_of(call_.in.numel(), window().size(), part), section_, round);
  }
  [[nodiscard]] std::byte* section(int rank, int part, std::int64_t round) const {
    return slot(rank, round) + part * section_ * width_;
  }

  bool fill() {
    if (filled_ == rounds() || !writable(filled_)) return false;
    const int own = window().rank();
    for (int part = 0; part < window().size(); ++part) {
      if (part == own) continue;
      const PartRange from = segment(part, filled_);
      std::memcpy(section(own, part, filled_), call_.in.data + from.begin * width_,
                  static_cast<std::size_t>(from.count() * width_));
      count_sent(from.count() * width_, 1);
    }
    publish_filled(filled_++);
    return true;
  }

  bool reduce() {
    if (reduced_ == filled_ || !all_filled(reduced_)) return false;
    const int own = window().rank();
    const PartRange range = segment(own, reduced_);
    for (int rank = 0; rank < window().size(); ++rank) {
      const bool mine = rank == own;
      sources_[static_cast<std::size_t>(rank)] =
          mine ? call_.in.data + range.begin * width_ : section(rank, own, reduced_);
    }
    sum(range);
    if (gathers_) {
      count_sent(range.count() * width_, window().size() - 1);
      publish(Flag::reduced, reduced_++);
    } else {
      publish(Flag::drained, reduced_++);
      drained_ = reduced_;
    }
    return true;
  }

  // Into the own slot, where the others read it, and from there to `out`; block by block, so that it is still
  // in L1.
  void sum(PartRange range) {
    constexpr std::int64_t kBlock = 2048;
    std::byte* staged = section(window().rank(), window().rank(), reduced_);
    const std::int64_t first =
        gathers_ ? 0 : part_of(call_.in.numel(), window().size(), window().rank()).begin;
    std::byte* out = call_.out.data + (range.begin - first) * width_;
    for (std::int64_t at = 0; at < range.count(); at += kBlock) {
      const std::int64_t count = std::min(kBlock, range.count() - at);
      const std::int64_t bytes = count * width_;
      reduce_tree(sources_, staged, count, call_.in.dtype, call_.reduce_op);
      deliver(out, staged, bytes);
      for (auto& source : sources_) source += bytes;
      staged += bytes;
      out += bytes;
    }
  }

  bool drain() {
    if (drained_ == reduced_ || !all_reached(Flag::reduced, drained_)) return false;
    const int own = window().rank();
    for (int owner = 0; owner < window().size(); ++owner) {
      if (owner == own) continue;
      const PartRange to = segment(owner, drained_);
      deliver(call_.out.data + to.begin * width_, section(owner, owner, drained_), to.count() * width_);
    }
    publish(Flag::drained, drained_++);
    return true;
  }

  CommCall call_;
  bool gathers_;
  std::int64_t width_, section_;
  std::vector<const std::byte*> sources_;
  std::int64_t filled_ = 0, reduced_ = 0, drained_ = 0;  // rounds done, per stage
};

class SharedDirectReduce final : public SharedOperation {
 public:
  SharedDirectReduce(const CommCall& call, const SharedContext& context, const CallSignature& signature)
      : SharedOperation(context, signature, 1), call_(call) {}

  bool advance() override {
    if (!filled_ && !fill()) return false;
    if (!all_filled(0)) return false;
    std::vector<const std::byte*> sources(static_cast<std::size_t>(window().size()));
    for (int rank = 0; rank < window().size(); ++rank)
      sources[static_cast<std::size_t>(rank)] = slot(rank, 0);
    reduce_tree(sources, call_.out.data, call_.in.numel(), call_.in.dtype, call_.reduce_op);
    publish(Flag::drained, 0);
    return true;
  }

 private:
  bool fill() {
    if (!writable(0)) return false;
    std::memcpy(slot(window().rank(), 0), call_.in.data, static_cast<std::size_t>(call_.in.bytes()));
    publish_filled(0);
    count_sent(call_.in.bytes(), window().size() - 1);
    return filled_ = true;
  }

  CommCall call_;
  bool filled_ = false;
};

}  // namespace

std::unique_ptr<Operation> shared_reduce(const CommCall& call, const SharedContext& context,
                                         const CallSignature& signature) {
  return std::make_unique<SharedReduce>(call, context, signature);
}

std::unique_ptr<Operation> shared_direct_reduce(const CommCall& call, const SharedContext& context,
                                                const CallSignature& signature) {
  return std::make_unique<SharedDirectReduce>(call, context, signature);
}

}  // namespace edgetrain
