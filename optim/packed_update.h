// Updates of values that are stored in fewer bits than f32: unpacked into scratch, handed to the rule as a
// smaller share of the bucket, packed again.
//
// Why around the rules: a share may be cut anywhere (update_rule.h), so a chunk of unpacked values is one
// more cut, and no rule has a version for bf16 or 8 bits. Chunks are whole grains of the bucket, and so are
// shards: no block of 8-bit codes is ever cut, and no bit depends on where shards or chunks begin. A rule
// that is elementwise runs tile by tile inside the cache of one thread (Ops::in_tiles); any other takes its
// chunks one after the other, unpacked into the workspace.
//
// Random bits: those of bf16 are counted by element of a parameter, under a key of its name; those of codes
// by element of the bucket, as their blocks are, under the name of its first parameter.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "optim/bucket_share.h"

namespace edgetrain {

/// Where a bucket's values lie and how they are stored; otherwise as ShareSources.
struct StoredSources {
  Tensor grad, out;
  Packed master;
  std::vector<Packed> states;
  std::array<Tensor, kMaxPhases> figures;
  Tensor whole;

  /// Whether nothing is stored in fewer bits; then wide() is all of it.
  [[nodiscard]] bool is_wide() const;
  [[nodiscard]] ShareSources wide() const;
  /// Bytes that an update reads and writes.
  [[nodiscard]] std::int64_t moved_bytes() const;
};

class PackedUpdate {
 public:
  /// Borrows all but the seed for its own life.
  PackedUpdate(const UpdateRule& rule, const OwnedBucket& of, const FigureLayout& figures,
               const StoredSources& stored, const RoundingSeed& seed);
  /// UpdateRule::measure, chunk by chunk. States are packed again if it moves them.
  void measure(int phase, const UpdateCall& call) const;
  void update(const UpdateCall& call) const;

 private:
  using Visit = std::function<void(const UpdateCall&, const BucketShare&)>;
  struct Moved {
    bool master, states;
  };
  void in_chunks(const UpdateCall& call, Moved moved, const Visit& visit) const;
  void chunk(const UpdateCall& call, Range range, Tensor scratch, Moved moved, const Visit& visit) const;
  void pack(Ops& ops, Range range, std::size_t value, Tensor from, const Packed& to, bool stochastic) const;
  [[nodiscard]] std::int64_t num_unpacked() const;

  const UpdateRule& rule_;
  const OwnedBucket& of_;
  const StoredSources& stored_;
  RoundingSeed seed_;
  std::vector<TensorShare> tensors_;          // of all that is owned
  std::vector<std::vector<PhiloxKey>> keys_;  // per value (states, then the weight) and tensor
};

}  // namespace edgetrain
