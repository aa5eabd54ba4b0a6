// The operators on a GPU, as far as they are built: gemm, rms_norm, add, adamw and copy. All others refuse by
// name (PartialOps); there is no quiet way back to the CPU.
//
// Calls queue work on the stream and return; results are there when the stream has got that far
// (completion_of). Tensors are in device memory. Nothing is allocated: scratch comes from the Workspace,
// whose base is a CudaBuffer. A second call may get the same scratch, which is right because the stream runs
// them in order.
#pragma once

#include "core/device/cuda/stream.h"
#include "core/memory/pool.h"
#include "core/ops/cuda/gemm.h"
#include "core/ops/partial_ops.h"

namespace edgetrain {

/// One per stream. Contracts of the operators: ops.h. rms_norm sums squares in a tree, not in column order.
class CudaOps final : public PartialOps {
 public:
  /// Borrows both for its life. The workspace's memory is used on `stream` alone.
  CudaOps(const CudaStream& stream, Workspace& workspace);

  void gemm(Tensor a, bool trans_a, Tensor b, bool trans_b, Tensor c, float beta, Tensor bias = {}) override;
  void rms_norm(Tensor x, Tensor w, float eps, Tensor y, Tensor rstd) override;
  void add(Tensor a, Tensor b, Tensor y) override;
  void copy(Tensor src, Tensor dst) override;
  void adamw(const AdamWConstants& c, const UpdateScalars& s, Tensor grad, Tensor master, Tensor m, Tensor v,
             Tensor out) override;

 private:
  const CudaStream& stream_;
  Workspace& workspace_;
  cuda::Gemm gemm_;
};

}  // namespace edgetrain
