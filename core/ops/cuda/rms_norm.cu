// RMSNorm: a block for each row and group, one pass for the sum of squares and one that scales.
//
// The second pass reads x again, from the L2 cache: keeping a row in registers would tie the block size to
// the width.
#include "core/ops/cuda/element.cuh"
#include "core/ops/cuda/kernels.h"

namespace edgetrain::cuda {
namespace {

constexpr int kThreads = 256, kWarp = 32, kWarps = kThreads / kWarp;

// Sum over the block, the same tree in every run; every thread gets it.
__device__ float block_sum(float value) {
  __shared__ float of_warp[kWarps];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_down_sync(~0U, value, offset);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0.0F;
  for (const float part : of_warp) sum += part;
  return sum;
}

// grid.x = row, so that rows beyond 65,535 are legal; grid.y = group. C = columns of a group. y may be x:
// each thread writes only what it reads.
template <typename T, int N>
__global__ void rms_norm_kernel(const T* x, std::int64_t x_stride, const T* w, std::int64_t C, float eps,
                                T* y, std::int64_t y_stride, float* rstd, std::int64_t rstd_stride) {
  using Values = Pack<T, N>;
  const std::int64_t row = blockIdx.x, group = blockIdx.y;
  const auto* x_packs = reinterpret_cast<const Values*>(x + row * x_stride + group * C);
  const auto* w_packs = reinterpret_cast<const Values*>(w);
  auto* y_packs = reinterpret_cast<Values*>(y + row * y_stride + group * C);

  float squares = 0.0F;
  for (std::int64_t i = threadIdx.x; i < C / N; i += kThreads) {
    const Values values = x_packs[i];
    for (const T value : values.values) squares += to_float(value) * to_float(value);
  }
  const float scale = 1.0F / sqrtf(block_sum(squares) / static_cast<float>(C) + eps);
  if (threadIdx.x == 0) rstd[row * rstd_stride + group] = scale;

  for (std::int64_t i = threadIdx.x; i < C / N; i += kThreads) {
    const Values values = x_packs[i], weights = w_packs[i];
    Values result;
    for (int k = 0; k < N; ++k) {
      result.values[k] = from_float<T>(to_float(values.values[k]) * scale * to_float(weights.values[k]));
    }
    y_packs[i] = result;
  }
}

template <typename T, int N>
cudaError_t launch(const Matrix& x, const Matrix& w, float eps, const Matrix& y, const Matrix& rstd,
                   cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(x.rows), static_cast<unsigned>(x.cols / w.cols));
  rms_norm_kernel<T, N><<<grid, kThreads, 0, stream>>>(
      static_cast<const T*>(x.data), x.stride, static_cast<const T*>(w.data), w.cols, eps,
      static_cast<T*>(y.data), y.stride, static_cast<float*>(rstd.data), rstd.stride);
  return cudaGetLastError();
}

template <typename T>
cudaError_t rms_norm_of(const Matrix& x, const Matrix& w, float eps, const Matrix& y, const Matrix& rstd,
                        cudaStream_t stream) {
  const bool in_packs = packs<T>(x.data, x.stride, w.cols) && packs<T>(w.data, kPack, w.cols) &&
                        packs<T>(y.data, y.stride, w.cols);
  return in_packs ? launch<T, kPack>(x, w, eps, y, rstd, stream) : launch<T, 1>(x, w, eps, y, rstd, stream);
}

}  // namespace

cudaError_t rms_norm(const Matrix& x, const Matrix& w, float eps, const Matrix& y, const Matrix& rstd,
                     cudaStream_t stream) {
  if (x.rows == 0 || x.cols == 0) return cudaSuccess;
  return x.dtype == Dtype::f32 ? rms_norm_of<float>(x, w, eps, y, rstd, stream)
                               : rms_norm_of<__nv_bfloat16>(x, w, eps, y, rstd, stream);
}

}  // namespace edgetrain::cuda
