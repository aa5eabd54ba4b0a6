// add and copy: bit-equal to one rounding in double, whatever the dtypes, strides and addresses.
#include <limits>

#include "tests/core/ops/cuda/gpu_test.h"

namespace edgetrain::testing {
namespace {

class CudaElementwise : public GpuTest {};

constexpr Placement kPlacements[] = {{}, {.gap = 4, .offset = 8}, {.gap = 1, .offset = 3}};

TEST_F(CudaElementwise, AddTakesEveryMixtureOfDtypes) {
  constexpr Dtype kBoth[] = {Dtype::f32, Dtype::bf16};
  for (const auto placement : kPlacements) {
    for (const auto left : kBoth) {
      for (const auto right : kBoth) {
        for (const auto result : kBoth) {
          Twin a = twin(7, 132, left, placement), b = twin(7, 132, right, placement),
               y = twin(7, 132, result, placement);
          oracle_.add(a.host(), b.host(), y.host());
          ops_.add(a.device(), b.device(), y.device());
          // In f32 first, then once more to bf16: half an ulp of f32 apart from one rounding of the fp64 sum.
          expect_equal(y, result == Dtype::f32 ? Tolerance{0, 0x1p-23} : Tolerance{0, 0x1p-7});
        }
      }
    }
  }
}

TEST_F(CudaElementwise, AddInPlace) {
  Twin a = twin(3, 1029, Dtype::f32), b = twin(3, 1029, Dtype::bf16);
  oracle_.add(a.host(), b.host(), a.host());
  ops_.add(a.device(), b.device(), a.device());
  expect_equal(a, {0, 0x1p-23});
}

TEST_F(CudaElementwise, CopyConvertsWithOneRounding) {
  constexpr Dtype kFloats[] = {Dtype::f32, Dtype::bf16, Dtype::f16};
  for (const auto placement : kPlacements) {
    for (const auto from : kFloats) {
      for (const auto to : kFloats) {
        SCOPED_TRACE(::testing::Message() << name_of(from) << " to " << name_of(to));
        Twin source = twin(5, 1028, from, placement), target = twin(5, 1028, to, placement);
        oracle_.copy(source.host(), target.host());
        ops_.copy(source.device(), target.device());
        expect_equal(target, kExact);
      }
    }
  }
}

TEST_F(CudaElementwise, CopyRoundsTiesToEvenAndOverflowsToInfinity) {
  Twin source = twin(1, 6, Dtype::f32), bf16 = twin(1, 6, Dtype::bf16), f16 = twin(1, 6, Dtype::f16);
  const double values[] = {1.0 + 0x1p-8,      1.0 + 3 * 0x1p-8, 1.0 + 0x1p-11,
                           1.0 + 3 * 0x1p-11, 0x1p-25,          65520.0};
  for (int i = 0; i < 6; ++i) set_element(source.host(), 0, i, values[i]);
  source.upload();
  ops_.copy(source.device(), bf16.device());
  ops_.copy(source.device(), f16.device());
  stream_.synchronize();
  const double in_bf16[] = {1.0, 1.0 + 0x1p-6, 1.0, 1.0, 0x1p-25, 65536.0};
  const double in_f16[] = {
      1.0 + 0x1p-8, 1.0 + 3 * 0x1p-8, 1.0, 1.0 + 0x1p-9, 0.0, std::numeric_limits<double>::infinity()};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(bf16.from_device()[0][i], in_bf16[i]) << i;
    EXPECT_EQ(f16.from_device()[0][i], in_f16[i]) << i;
  }
}

TEST_F(CudaElementwise, CopyMovesIntegers) {
  Twin source = twin(5, 33, Dtype::i32, {.gap = 2, .offset = 1}),
       target = twin(5, 33, Dtype::i32, {.gap = 0, .offset = 3});
  oracle_.copy(source.host(), target.host());
  ops_.copy(source.device(), target.device());
  expect_equal(target, kExact);
}

TEST_F(CudaElementwise, NothingIsLegal) {
  ops_.copy(matrix(nullptr, 0, 8, Dtype::f32), matrix(nullptr, 0, 8, Dtype::bf16));
  ops_.add(matrix(nullptr, 0, 8, Dtype::f32), matrix(nullptr, 0, 8, Dtype::f32),
           matrix(nullptr, 0, 8, Dtype::f32));
  stream_.synchronize();
}

}  // namespace
}  // namespace edgetrain::testing
