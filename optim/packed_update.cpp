#include "optim/packed_update.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace edgetrain {
namespace {

// A tile and its unpacked values lie on the stack of the thread that works on it.
constexpr std::int64_t kTile = 4 * kGrain;

bool is_packed(const Packed& values) { return !values.absent() && values.packing != Packing::f32; }

Tensor part_of(const Tensor& tensor, Range range) {
  return tensor.absent() ? tensor : tensor.col_range(range.begin, range.size());
}

PhiloxKey key_of(std::uint64_t seed, const ParamSpec& spec, std::string_view value) {
  return philox_words(seed ^ fnv1a(spec.name + "/" + std::string(value)));
}

// Tensors of one row each, cut from scratch in turn.
class Room {
 public:
  explicit Room(Tensor scratch) : left_(scratch) {}
  Tensor take(std::int64_t n) {
    const Tensor out = left_.col_range(0, n);
    left_ = left_.col_range(n, left_.cols - n);
    return out;
  }

 private:
  Tensor left_;
};

Tensor widened(Ops& ops, Room& room, const Packed& values) {
  if (!is_packed(values)) return values.values;
  const Tensor wide = room.take(values.size());
  ops.unpack(values, wide);
  return wide;
}

}  // namespace

bool StoredSources::is_wide() const { return !is_packed(master) && std::ranges::none_of(states, is_packed); }

ShareSources StoredSources::wide() const {
  ShareSources out_sources{grad, master.values, out, {}, figures, whole};
  for (const auto& state : states) out_sources.states.push_back(state.values);
  return out_sources;
}

std::int64_t StoredSources::moved_bytes() const {
  std::int64_t bytes = grad.bytes() + out.bytes() + 2 * master.bytes();
  for (const auto& state : states) bytes += 2 * state.bytes();
  return bytes;
}

PackedUpdate::PackedUpdate(const UpdateRule& rule, const OwnedBucket& of, const FigureLayout& figures,
                           const StoredSources& stored, const RoundingSeed& seed)
    : rule_(rule),
      of_(of),
      stored_(stored),
      seed_(seed),
      tensors_(tensor_shares(rule, of, figures, {{}, {}, {}, {}, stored.figures, stored.whole})) {
  const auto keys_of = [&](std::string_view value) {
    std::vector<PhiloxKey> keys;
    for (const int param : of.bucket.params)
      keys.push_back(key_of(seed.seed, of.specs[static_cast<std::size_t>(param)], value));
    return keys;
  };
  for (const auto& state : rule.states()) keys_.push_back(keys_of(state.name));
  keys_.push_back(keys_of("weight"));
}

// What measuring has taken in, an update no longer reads (UpdateRule::update_reads_grad).
void PackedUpdate::measure(int phase, const UpdateCall& call) const {
  in_chunks(call, {false, !rule_.update_reads_grad()},
            [&](const UpdateCall& inside, const BucketShare& share) { rule_.measure(phase, inside, share); });
}

void PackedUpdate::update(const UpdateCall& call) const {
  in_chunks(call, {true, rule_.update_reads_grad()},
            [&](const UpdateCall& inside, const BucketShare& share) { rule_.update(inside, share); });
}

std::int64_t PackedUpdate::num_unpacked() const {
  return std::ranges::count_if(stored_.states, is_packed) + (is_packed(stored_.master) ? 1 : 0);
}

void PackedUpdate::in_chunks(const UpdateCall& call, Moved moved, const Visit& visit) const {
  const std::int64_t n = of_.owned.size();
  if (rule_.is_elementwise()) {
    call.ops.in_tiles(n, kTile, stored_.moved_bytes(), [&](Ops& ops, std::int64_t begin, std::int64_t count) {
      alignas(64) std::array<float, kTile*(kMaxStates + 1)> values;
      chunk({ops, call.workspace, call.scalars, call.square_sum}, {begin, begin + count},
            vector_of(values.data(), std::ssize(values), Dtype::f32), moved, visit);
    });
    return;
  }
  const ScratchScope scope(call.workspace);
  const Tensor scratch = call.workspace.take(Dtype::f32, 1, num_unpacked() * std::min(kChunk, n));
  for (std::int64_t begin = 0; begin < n; begin += kChunk)
    chunk(call, {begin, std::min(begin + kChunk, n)}, scratch, moved, visit);
}

// `range` counts in what is owned.
void PackedUpdate::chunk(const UpdateCall& call, Range range, Tensor scratch, Moved moved,
                         const Visit& visit) const {
  const Packed master = stored_.master.part(range.begin, range.size());
  std::vector<Packed> states;
  for (const auto& state : stored_.states) states.push_back(state.part(range.begin, range.size()));

  Room room(scratch);
  ShareSources wide{part_of(stored_.grad, range),
                    widened(call.ops, room, master),
                    part_of(stored_.out, range),
                    {},
                    stored_.figures,
                    stored_.whole};
  for (const auto& state : states) wide.states.push_back(widened(call.ops, room, state));
  std::vector<TensorShare> tensors;
  for (const auto& tensor : tensors_within(tensors_, range))
    tensors.push_back(part_within(tensor, range, wide));
  visit(call, {wide.grad, wide.master, wide.out, wide.states, tensors});

  for (std::size_t s = 0; moved.states && s < states.size(); ++s)
    pack(call.ops, range, s, wide.states[s], states[s], rule_.storage().states.at(s).stochastic);
  if (moved.master) pack(call.ops, range, states.size(), wide.master, master, true);
}

// `range` counts in what is owned, `from` and `to` begin with it.
void PackedUpdate::pack(Ops& ops, Range range, std::size_t value, Tensor from, const Packed& to,
                        bool stochastic) const {
  if (!is_packed(to)) return;
  const auto stream = static_cast<std::uint64_t>(seed_.step);
  const auto& keys = keys_[value];
  if (!stochastic || !to.scales.absent())
    return ops.pack(from, to, {stochastic, keys.front(), stream, of_.owned.begin + range.begin});
  for (const auto& whole : tensors_within(tensors_, range)) {
    const auto tensor = part_within(whole, range, {});
    const std::int64_t n = tensor.own.size();
    const auto& key = keys[static_cast<std::size_t>(&whole - tensors_.data())];
    ops.pack(from.col_range(tensor.at, n), to.part(tensor.at, n), {true, key, stream, tensor.own.begin});
  }
}

}  // namespace edgetrain
