// Sums, conversions and broadcasts: one thread for each pack of four columns, or for each element where
// addresses or widths do not allow packs. Memory-bound; both forms give the same bits.
#include "core/ops/cuda/element.cuh"
#include "core/ops/cuda/kernels.h"

namespace edgetrain::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMaxBlocks = std::int64_t{1} << 20;  // then a thread takes several packs

// A row-major matrix of T; stride 0 repeats one row.
template <typename T>
struct Rows {
  T* data;
  std::int64_t stride;
  explicit Rows(const Matrix& matrix) : data(static_cast<T*>(matrix.data)), stride(matrix.stride) {}
  template <int N>
  __device__ Pack<T, N>& at(std::int64_t row, std::int64_t col) const {
    return *reinterpret_cast<Pack<T, N>*>(data + row * stride + col);
  }
};

struct First {
  __device__ float operator()(float a, float) const { return a; }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

// y = f(a, b). The loads of a pack precede its stores and no thread touches another one's elements, so y may
// be a or b.
template <int N, typename F, typename A, typename B, typename Y>
__global__ void map_kernel(F f, Rows<A> a, Rows<B> b, Rows<Y> y, std::int64_t packs_per_row,
                           std::int64_t packs) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs;
       i += step) {
    const std::int64_t row = i / packs_per_row, col = i % packs_per_row * N;
    const Pack<A, N> left = a.template at<N>(row, col);
    const Pack<B, N> right = b.template at<N>(row, col);
    Pack<Y, N> result;
    for (int k = 0; k < N; ++k) {
      result.values[k] = from_float<Y>(f(to_float(left.values[k]), to_float(right.values[k])));
    }
    y.template at<N>(row, col) = result;
  }
}

template <int N, typename F, typename A, typename B, typename Y>
cudaError_t launch(F f, const Matrix& a, const Matrix& b, const Matrix& y, cudaStream_t stream) {
  const std::int64_t packs = y.rows * y.cols / N;
  if (packs == 0) return cudaSuccess;
  const std::int64_t blocks = (packs + kThreads - 1) / kThreads;
  map_kernel<N><<<static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks), kThreads, 0, stream>>>(
      f, Rows<A>(a), Rows<B>(b), Rows<Y>(y), y.cols / N, packs);
  return cudaGetLastError();
}

template <typename A, typename B, typename Y, typename F>
cudaError_t map(F f, const Matrix& a, const Matrix& b, const Matrix& y, cudaStream_t stream) {
  const bool in_packs = packs<A>(a.data, a.stride, y.cols) && packs<B>(b.data, b.stride, y.cols) &&
                        packs<Y>(y.data, y.stride, y.cols);
  return in_packs ? launch<kPack, F, A, B, Y>(f, a, b, y, stream) : launch<1, F, A, B, Y>(f, a, b, y, stream);
}

template <typename A, typename B>
cudaError_t add_to(const Matrix& a, const Matrix& b, const Matrix& y, cudaStream_t stream) {
  return y.dtype == Dtype::f32 ? map<A, B, float>(Sum{}, a, b, y, stream)
                               : map<A, B, __nv_bfloat16>(Sum{}, a, b, y, stream);
}

template <typename A>
cudaError_t add_from(const Matrix& a, const Matrix& b, const Matrix& y, cudaStream_t stream) {
  return b.dtype == Dtype::f32 ? add_to<A, float>(a, b, y, stream)
                               : add_to<A, __nv_bfloat16>(a, b, y, stream);
}

template <typename A>
cudaError_t convert_from(const Matrix& source, const Matrix& target, cudaStream_t stream) {
  switch (target.dtype) {
    case Dtype::f32:
      return map<A, A, float>(First{}, source, source, target, stream);
    case Dtype::bf16:
      return map<A, A, __nv_bfloat16>(First{}, source, source, target, stream);
    case Dtype::f16:
      return map<A, A, __half>(First{}, source, source, target, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t add(const Matrix& a, const Matrix& b, const Matrix& y, cudaStream_t stream) {
  return a.dtype == Dtype::f32 ? add_from<float>(a, b, y, stream) : add_from<__nv_bfloat16>(a, b, y, stream);
}

cudaError_t convert(const Matrix& source, const Matrix& target, cudaStream_t stream) {
  switch (source.dtype) {
    case Dtype::f32:
      return convert_from<float>(source, target, stream);
    case Dtype::bf16:
      return convert_from<__nv_bfloat16>(source, target, stream);
    case Dtype::f16:
      return convert_from<__half>(source, target, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t broadcast_row(const Matrix& row, const Matrix& target, cudaStream_t stream) {
  Matrix rows = row;
  rows.stride = 0;
  return row.dtype == Dtype::f32
             ? map<float, float, float>(First{}, rows, rows, target, stream)
             : map<__nv_bfloat16, __nv_bfloat16, float>(First{}, rows, rows, target, stream);
}

}  // namespace edgetrain::cuda
