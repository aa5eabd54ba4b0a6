// Elements on the device: loads to f32, stores with one rounding, and groups of them moved in 16-byte
// accesses.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace edgetrain::cuda {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(__half value) { return __half2float(value); }

template <typename T>
__device__ T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}

/// N neighbours, aligned so that the compiler moves them in one access.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

/// Four elements a thread: 16 bytes of f32, 8 of a 16-bit type.
inline constexpr int kPack = 4;

/// True when the rows of a matrix can be moved in packs.
template <typename T>
inline bool packs(const void* data, std::int64_t stride, std::int64_t cols) {
  return reinterpret_cast<std::uintptr_t>(data) % (sizeof(T) * kPack) == 0 && stride % kPack == 0 &&
         cols % kPack == 0;
}

}  // namespace edgetrain::cuda
