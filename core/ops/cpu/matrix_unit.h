// Products of small bf16 blocks in hardware: on the tiles of AMX, else with AVX512-BF16's pair products.
//
// Why beside oneDNN: attention multiplies blocks of 64 x 64 x 64, which take 0.4 us here, and a call of
// oneDNN alone costs more than one. Why intrinsics: Highway 1.0.3 knows neither instruction. Both take the
// same layouts, and both need what hardware_multiplies_bf16() tells; sums are fp32, in one order for one
// processor.
#pragma once

#include <cstdint>

namespace edgetrain::cpu {

/// Rows, columns and depth of what a MatrixUnit multiplies are multiples of this.
inline constexpr std::int64_t kUnitGrain = 32;
[[nodiscard]] constexpr std::int64_t to_unit_grain(std::int64_t size) {
  return (size + kUnitGrain - 1) / kUnitGrain * kUnitGrain;
}

/// C (m, n) f32 of a product A (m, k) B (k, n). Strides in elements; ldb counts pairs, the u32 of one column.
struct UnitBlock {
  std::int64_t m, n, k;
  const std::uint16_t* a;  // row-major
  std::int64_t lda;
  const std::uint16_t* b;  // PackedLayout::pairs: element (k, n) at [k / 2][n][k % 2]
  std::int64_t ldb;
  float* c;
  std::int64_t ldc;
};

/// One of two ways to multiply, as this processor has it.
struct UnitKernel {
  void (*begin)();  // on every thread before it multiplies
  void (*end)();    // and after
  void (*assign)(const UnitBlock&);
  void (*add)(const UnitBlock&);
};

/// The thread's matrix unit while this object lives; no call of oneDNN meanwhile, it sets tiles up otherwise.
/// Where the hardware does not multiply bf16, construction is Error(internal).
class MatrixUnit {
 public:
  MatrixUnit();
  ~MatrixUnit() { kernel_.end(); }
  MatrixUnit(const MatrixUnit&) = delete;
  MatrixUnit& operator=(const MatrixUnit&) = delete;

  void assign(const UnitBlock& block) const { kernel_.assign(block); }  // C = A B
  void add(const UnitBlock& block) const { kernel_.add(block); }        // C += A B

 private:
  const UnitKernel& kernel_;
};

}  // namespace edgetrain::cpu
