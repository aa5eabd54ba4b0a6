#include "parallel/comm/shared_publish.h"

#include <algorithm>
#include <cstring>

#include "parallel/comm/parts.h"

namespace edgetrain {
namespace {

// Bytes, whatever the dtype: nothing is computed here.
class SharedPublish : public SharedOperation {
 protected:
  SharedPublish(const SharedContext& context, const CallSignature& signature, std::int64_t bytes)
      : SharedOperation(context, signature, pieces(bytes, context.window.slot_data())), bytes_(bytes) {}

  [[nodiscard]] PartRange segment(std::int64_t round) const {
    return segment_of({0, bytes_}, window().slot_data(), round);
  }
  // Into the own slot and, unless it is there already, to the own place in the result; block by block, so
  // that the source is read from memory once.
  bool fill(const std::byte* from, std::byte* also_to) {
    if (filled_ == rounds() || !writable(filled_)) return false;
    const PartRange range = segment(filled_);
    std::byte* staged = slot(window().rank(), filled_);
    constexpr std::int64_t kBlock = 8 << 10;
    for (std::int64_t at = range.begin; at < range.end; at += kBlock) {
      const std::int64_t bytes = std::min(kBlock, range.end - at);
      std::memcpy(staged + (at - range.begin), from + at, static_cast<std::size_t>(bytes));
      if (also_to != from) deliver(also_to + at, from + at, bytes);
    }
    publish_filled(filled_++);
    count_sent(range.count(), window().size() - 1);
    return true;
  }
  void copy_out(int owner, std::int64_t round, std::byte* to) const {
    const PartRange range = segment(round);
    deliver(to + range.begin, slot(owner, round), range.count());
  }

 private:
  std::int64_t bytes_;
  std::int64_t filled_ = 0;
};

class SharedAllGather final : public SharedPublish {
 public:
  SharedAllGather(const CommCall& call, const SharedContext& context, const CallSignature& signature)
      : SharedPublish(context, signature, call.in.bytes()), call_(call) {}

  bool advance() override {
    while (fill(call_.in.data, part(window().rank())) || drain()) {
    }
    return drained_ == rounds();
  }

 private:
  [[nodiscard]] std::byte* part(int owner) const { return call_.out.data + owner * call_.in.bytes(); }

  bool drain() {
    if (drained_ == rounds() || !all_filled(drained_)) return false;
    for (int owner = 0; owner < window().size(); ++owner) {
      if (owner != window().rank()) copy_out(owner, drained_, part(owner));
    }
    publish(Flag::drained, drained_++);
    return true;
  }

  CommCall call_;
  std::int64_t drained_ = 0;
};

class SharedBroadcast final : public SharedPublish {
 public:
  SharedBroadcast(const CommCall& call, const SharedContext& context, const CallSignature& signature)
      : SharedPublish(context, signature, call.in.bytes()),
        call_(call),
        is_root_(call.peer == context.window.rank()) {}

  bool advance() override {
    while ((is_root_ && fill(call_.in.data, call_.in.data)) || drain()) {
    }
    return drained_ == rounds();
  }

 private:
  bool drain() {
    if (drained_ == rounds() || !peer_filled(call_.peer, drained_)) return false;
    if (!is_root_) copy_out(call_.peer, drained_, call_.out.data);
    publish(Flag::drained, drained_++);
    return true;
  }

  CommCall call_;
  bool is_root_;
  std::int64_t drained_ = 0;
};

}  // namespace

std::unique_ptr<Operation> shared_all_gather(const CommCall& call, const SharedContext& context,
                                             const CallSignature& signature) {
  return std::make_unique<SharedAllGather>(call, context, signature);
}

std::unique_ptr<Operation> shared_broadcast(const CommCall& call, const SharedContext& context,
                                            const CallSignature& signature) {
  return std::make_unique<SharedBroadcast>(call, context, signature);
}

}  // namespace edgetrain
