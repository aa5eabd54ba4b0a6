#include "core/ops/cpu/matrix_unit.h"

#include <cstring>

#include "core/base/error.h"
#include "core/ops/cpu/env.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace edgetrain::cpu {
namespace {

#if defined(__x86_64__)

constexpr std::int64_t kHalf = kUnitGrain / 2;  // rows and columns of a tile of C, pairs along K of a tile

// ---- AMX: 32 x 32 of C in four tiles, so that two tiles of A and two of B serve four products ----

#define EDGETRAIN_AMX __attribute__((target("amx-tile,amx-bf16")))

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

EDGETRAIN_AMX void configure_tiles() {
  static constexpr TileConfig kConfig;
  _tile_loadconfig(&kConfig);
}

EDGETRAIN_AMX void release_tiles() { _tile_release(); }

// Tiles 0 to 3 += A (32, k) B (k, 32).
EDGETRAIN_AMX inline void tiles_multiply(const UnitBlock& x, const std::uint16_t* a, const std::uint16_t* b) {
  const auto a_stride = x.lda * 2, b_stride = x.ldb * 4;
  for (std::int64_t k = 0; k < x.k; k += kUnitGrain) {
    const std::uint16_t* below = b + k * x.ldb;
    _tile_loadd(4, a + k, a_stride);
    _tile_loadd(6, below, b_stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, below + 2 * kHalf, b_stride);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + kHalf * x.lda + k, a_stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

template <bool kAdd>
EDGETRAIN_AMX void amx_block(const UnitBlock& x) {
  const auto stride = x.ldc * 4;
  for (std::int64_t n = 0; n < x.n; n += kUnitGrain) {
    for (std::int64_t m = 0; m < x.m; m += kUnitGrain) {
      float *top = x.c + m * x.ldc + n, *bottom = top + kHalf * x.ldc;
      if constexpr (kAdd) {
        _tile_loadd(0, top, stride);
        _tile_loadd(1, top + kHalf, stride);
        _tile_loadd(2, bottom, stride);
        _tile_loadd(3, bottom + kHalf, stride);
      } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      }
      tiles_multiply(x, x.a + m * x.lda, x.b + 2 * n);
      _tile_stored(0, top, stride);
      _tile_stored(1, top + kHalf, stride);
      _tile_stored(2, bottom, stride);
      _tile_stored(3, bottom + kHalf, stride);
    }
  }
}

// ---- AVX512-BF16: 8 x 32 of C in registers, a pair of A broadcast ----

#define EDGETRAIN_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

constexpr int kRows = 8;

template <bool kAdd>
EDGETRAIN_AVX512_BF16 void avx512_rows(const UnitBlock& x, std::int64_t m, std::int64_t n) {
  __m512 sum[kRows][2];
  float* c = x.c + m * x.ldc + n;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v)
      sum[r][v] = kAdd ? _mm512_loadu_ps(c + r * x.ldc + v * kHalf) : _mm512_setzero_ps();
  }
  for (std::int64_t k = 0; k < x.k; k += 2) {
    const std::uint16_t* pairs = x.b + k * x.ldb + 2 * n;
    const auto left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(pairs));
    const auto right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(pairs + 2 * kHalf));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int both;
      std::memcpy(&both, x.a + (m + r) * x.lda + k, sizeof(both));
      const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(both));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], pair, left);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], pair, right);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) _mm512_storeu_ps(c + r * x.ldc + v * kHalf, sum[r][v]);
  }
}

template <bool kAdd>
void avx512_block(const UnitBlock& x) {
  for (std::int64_t n = 0; n < x.n; n += kUnitGrain) {
    for (std::int64_t m = 0; m < x.m; m += kRows) avx512_rows<kAdd>(x, m, n);
  }
}

void nothing() {}

const UnitKernel& kernel_here() {
  static const UnitKernel amx{configure_tiles, release_tiles, amx_block<false>, amx_block<true>};
  static const UnitKernel avx512{nothing, nothing, avx512_block<false>, avx512_block<true>};
  const Bf16Hardware hardware = bf16_hardware();
  ET_CHECK(hardware != Bf16Hardware::none, "this processor does not multiply bf16");
  return hardware == Bf16Hardware::amx ? amx : avx512;
}

#else

const UnitKernel& kernel_here() { ET_CHECK(false, "this processor does not multiply bf16"); }

#endif

}  // namespace

MatrixUnit::MatrixUnit() : kernel_(kernel_here()) { kernel_.begin(); }

}  // namespace edgetrain::cpu
