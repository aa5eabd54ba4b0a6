// Rules that look at one logical tensor at a time, by figures that add up over its shards: LAMB, LARS,
// Adafactor.
//
// Each tensor's figures are measured, summed over the shards, and read again when its elements are updated.
// What lies between (a direction, say) is computed anew from the states in a chunk of scratch instead of
// being kept: as much memory as the gradient for half the traffic was the alternative.
#pragma once

#include "optim/figures.h"
#include "optim/update_rule.h"

namespace edgetrain {

class TensorRule : public UpdateRule {
 public:
  using UpdateRule::UpdateRule;
  void measure(int phase, const UpdateCall& call, const BucketShare& share) const final;
  void update(const UpdateCall& call, const BucketShare& share) const final;

 protected:
  /// A matrix (or a table of embeddings): what is scaled by norms or factored.
  [[nodiscard]] static bool is_matrix(const ParamSpec& spec) { return spec.dims >= 2; }

 private:
  /// Whether the rule wants ChunkScratch::values.
  [[nodiscard]] virtual bool wants_chunk() const = 0;
  /// Values of ChunkScratch::more.
  [[nodiscard]] virtual std::int64_t more_scratch(const BucketShare&) const { return 0; }
  /// Called for every tensor of the share that the phase measures, also where nothing of it lies here (none
  /// of those is in a share of packed values).
  virtual void measure_tensor(int phase, const UpdateCall& call, const ChunkScratch& scratch,
                              const TensorShare& tensor) const = 0;
  /// Called for every tensor of which anything lies here.
  virtual void update_tensor(const UpdateCall& call, const ChunkScratch& scratch,
                             const TensorShare& tensor) const = 0;

  [[nodiscard]] ChunkScratch take(const UpdateCall& call, const BucketShare& share) const;
};

/// Elements [begin, begin + n); absent stays absent.
[[nodiscard]] inline Tensor chunk_of(const Tensor& tensor, std::int64_t begin, std::int64_t n) {
  return tensor.absent() ? tensor : tensor.col_range(begin, n);
}

}  // namespace edgetrain
