// Matrix products by cuBLASLt, one plan per shape.
//
// Why cuBLASLt: the bias rides along in the product's epilogue, the workspace is ours, and an algorithm is
// chosen once and then kept, so a shape has the same bits in every call. fp32 is computed in fp32, never in
// TF32, which keeps 10 bits of the operands; bf16 operands are summed in fp32.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "core/device/cuda/stream.h"
#include "core/memory/pool.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cuda {

/// Scratch that a product may use, on every GPU and for every shape, so that a plan needs no GPU to know it:
/// what NVIDIA recommends for Hopper, the largest of its recommendations.
inline constexpr std::int64_t kGemmWorkspaceBytes = std::int64_t{32} << 20;

/// Bytes that Gemm::run takes from its workspace for these operands. Pure; addresses are not looked at.
[[nodiscard]] std::int64_t gemm_scratch_bytes(const Tensor& c, const Tensor& bias);

/// One per stream. Move-only by way of its members.
class Gemm {
 public:
  Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  ~Gemm();

  /// Ops::gemm, operands checked. Makes a plan when a shape is new (milliseconds, host memory), then only
  /// queues work. Errors: Error(resource) when cuBLASLt has no algorithm for the operands.
  void run(const Tensor& a, bool trans_a, const Tensor& b, bool trans_b, const Tensor& c, float beta,
           const Tensor& bias, Workspace& workspace, const CudaStream& stream);

 private:
  struct Plan;
  // Everything that a plan depends on: sizes, strides, dtypes, transposes, epilogue, and how addresses are
  // aligned.
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         Dtype, Dtype, bool, bool, bool, std::uint32_t, std::uint32_t, std::uint32_t>;
  struct Product;
  [[nodiscard]] static Key key_of(const Product& product);
  [[nodiscard]] Plan& plan_for(const Product& product);

  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace edgetrain::cuda
