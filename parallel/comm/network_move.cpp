#include "parallel/comm/network_move.h"

#include <cstring>
#include <utility>
#include <vector>

namespace edgetrain {
namespace {

std::span<std::byte> bytes_of(const Tensor& tensor, std::int64_t begin_bytes, std::int64_t bytes) {
  return {tensor.data + begin_bytes, static_cast<std::size_t>(bytes)};
}
std::span<std::byte> bytes_of(const Tensor& tensor) { return bytes_of(tensor, 0, tensor.bytes()); }

void copy(std::span<const std::byte> from, std::span<std::byte> to) {
  if (from.data() != to.data() && !from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

// All streams are known from the start and independent of each other.
class Streaming final : public Operation {
 public:
  explicit Streaming(const NetworkContext& context) : streams_(context.streams()) {}
  [[nodiscard]] SegmentStreams& streams() { return streams_; }
  bool advance() override { return streams_.advance(); }

 private:
  SegmentStreams streams_;
};

// Receives from its parent in the binomial tree and passes on to its children, segment by segment.
class Broadcast final : public Operation {
 public:
  Broadcast(const CommCall& call, const NetworkContext& context) : streams_(context.streams()) {
    const int size = context.comm.size();
    const int place = (context.comm.rank() - call.peer + size) % size;
    const auto rank_at = [&](int at) { return (at + call.peer) % size; };
    int step = 1;
    for (; place + step < size && (place & step) == 0; step *= 2) {
      children_.push_back(streams_.add_send(bytes_of(call.in), rank_at(place + step)));
    }
    if (place == 0) return;
    from_parent_ = streams_.add_receive(bytes_of(call.out), rank_at(place & (place - 1)));
    pass_on();
  }

  bool advance() override {
    if (from_parent_ < 0) return streams_.advance();
    bool done = streams_.advance();
    while (pass_on()) done = streams_.advance();
    return done;
  }

 private:
  // Lets the children have what has arrived; true if that is more than before.
  bool pass_on() {
    const std::int64_t arrived = streams_.arrived(from_parent_);
    for (const int child : children_) streams_.limit_send(child, arrived);
    return std::exchange(passed_on_, arrived) != arrived;
  }

  SegmentStreams streams_;
  std::vector<int> children_;
  int from_parent_ = -1;
  std::int64_t passed_on_ = 0;
};

// Starting behind the own rank, so that not all ranks talk to rank 0 first.
template <class Body>
void for_each_peer(const MpiComm& comm, Body body) {
  for (int step = 1; step < comm.size(); ++step) body((comm.rank() + step) % comm.size());
}

// Where each rank's piece begins: running sums of counts, in bytes.
std::vector<std::int64_t> starts_of(std::span<const std::int64_t> counts, std::int64_t width) {
  std::vector<std::int64_t> starts(counts.size() + 1, 0);
  for (std::size_t i = 0; i < counts.size(); ++i) starts[i + 1] = starts[i] + counts[i] * width;
  return starts;
}

}  // namespace

std::unique_ptr<Operation> network_all_gather(const CommCall& call, const NetworkContext& context) {
  auto operation = std::make_unique<Streaming>(context);
  const std::int64_t part = call.in.bytes();
  copy(bytes_of(call.in), bytes_of(call.out, context.comm.rank() * part, part));
  for_each_peer(context.comm, [&](int peer) {
    operation->streams().add_send(bytes_of(call.in), peer);
    operation->streams().add_receive(bytes_of(call.out, peer * part, part), peer);
  });
  return operation;
}

std::unique_ptr<Operation> network_broadcast(const CommCall& call, const NetworkContext& context) {
  return std::make_unique<Broadcast>(call, context);
}

std::unique_ptr<Operation> network_all_to_all(const CommCall& call, const NetworkContext& context) {
  auto operation = std::make_unique<Streaming>(context);
  const auto size = static_cast<std::size_t>(context.comm.size());
  const std::int64_t width = size_of(call.in.dtype);
  const auto to = starts_of(call.counts.first(size), width);
  const auto from = starts_of(call.counts.last(size), width);
  const auto piece = [](const Tensor& tensor, const std::vector<std::int64_t>& starts, int rank) {
    const auto i = static_cast<std::size_t>(rank);
    return bytes_of(tensor, starts[i], starts[i + 1] - starts[i]);
  };
  copy(piece(call.in, to, context.comm.rank()), piece(call.out, from, context.comm.rank()));
  for_each_peer(context.comm, [&](int peer) {
    operation->streams().add_send(piece(call.in, to, peer), peer);
    operation->streams().add_receive(piece(call.out, from, peer), peer);
  });
  return operation;
}

std::unique_ptr<Operation> network_message(const CommCall& call, const NetworkContext& context) {
  auto operation = std::make_unique<Streaming>(context);
  if (call.op == Collective::send) {
    operation->streams().add_send(bytes_of(call.in), call.peer);
  } else {
    operation->streams().add_receive(bytes_of(call.out), call.peer);
  }
  return operation;
}

}  // namespace edgetrain
