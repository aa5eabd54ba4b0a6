// Matrix products on the GPU against fp64 loops: every dtype, transpose, stride, alignment and epilogue.
#include <array>

#include "core/ops/cuda/cuda_scratch.h"
#include "tests/core/ops/cuda/gpu_test.h"

namespace edgetrain::testing {
namespace {

struct Shape {
  std::int64_t m, n, k;
};
constexpr std::array kShapes = {Shape{1, 1, 1},     Shape{3, 5, 7},     Shape{1, 129, 64},
                                Shape{17, 33, 65},  Shape{127, 1, 255}, Shape{128, 256, 64},
                                Shape{65, 770, 513}};
struct Types {
  Dtype in, out;
};
constexpr std::array kTypes = {Types{Dtype::f32, Dtype::f32}, Types{Dtype::bf16, Dtype::bf16},
                               Types{Dtype::bf16, Dtype::f32}};

class CudaGemm : public GpuTest {
 protected:
  void expect_product(Shape s, Types types, bool trans_a, bool trans_b, float beta, bool with_bias,
                      Placement placement) {
    SCOPED_TRACE(::testing::Message()
                 << s.m << " x " << s.n << " x " << s.k << " trans " << trans_a << trans_b << " "
                 << name_of(types.in) << " to " << name_of(types.out) << " beta " << beta << " bias "
                 << with_bias << " gap " << placement.gap << " offset " << placement.offset);
    Twin a = twin(trans_a ? s.k : s.m, trans_a ? s.m : s.k, types.in, placement);
    Twin b = twin(trans_b ? s.n : s.k, trans_b ? s.k : s.n, types.in, placement);
    Twin c = twin(s.m, s.n, types.out, placement);
    Twin bias = with_bias ? twin(1, s.n, types.in, placement) : Twin{};
    oracle_.gemm(a.host(), trans_a, b.host(), trans_b, c.host(), beta, bias.host());
    ops_.gemm(a.device(), trans_a, b.device(), trans_b, c.device(), beta, bias.device());
    // TF32, with its 10 bits, would be off by a hundred times this.
    expect_equal(c, tolerance_of(types.out, static_cast<double>(s.k)));
  }
};

TEST_F(CudaGemm, EveryShapeDtypeAndTranspose) {
  for (const auto& shape : kShapes) {
    for (const auto& types : kTypes) {
      for (const bool trans_a : {false, true}) {
        for (const bool trans_b : {false, true})
          expect_product(shape, types, trans_a, trans_b, 0.0F, false, {});
      }
    }
  }
}

TEST_F(CudaGemm, RowStridesAndOddAddresses) {
  for (const auto& types : kTypes) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        expect_product({17, 33, 65}, types, trans_a, trans_b, 0.0F, true, {.gap = 3, .offset = 1});
        expect_product({64, 96, 128}, types, trans_a, trans_b, 0.0F, true, {.gap = 8, .offset = 4});
      }
    }
  }
}

TEST_F(CudaGemm, BiasIsAddedOnce) {
  for (const auto& shape : kShapes) {
    for (const auto& types : kTypes) expect_product(shape, types, false, true, 0.0F, true, {});
  }
}

TEST_F(CudaGemm, BetaOneAccumulates) {
  for (const auto& shape : kShapes) {
    expect_product(shape, {Dtype::f32, Dtype::f32}, true, false, 1.0F, false, {});
    expect_product(shape, {Dtype::bf16, Dtype::f32}, true, false, 1.0F, false, {});
  }
}

TEST_F(CudaGemm, BetaZeroDoesNotReadTheResult) {
  Twin a = twin(5, 7, Dtype::f32), b = twin(7, 9, Dtype::f32), c = twin(5, 9, Dtype::f32);
  set_element(c.host(), 2, 3, std::numeric_limits<double>::quiet_NaN());
  c.upload();
  oracle_.gemm(a.host(), false, b.host(), false, c.host(), 0.0F);
  ops_.gemm(a.device(), false, b.device(), false, c.device(), 0.0F);
  expect_equal(c, tolerance_of(Dtype::f32, 7));
}

TEST_F(CudaGemm, TheSameCallGivesTheSameBits) {
  Twin a = twin(129, 1025, Dtype::bf16), b = twin(257, 1025, Dtype::bf16), c = twin(129, 257, Dtype::f32);
  std::vector<std::byte> first;
  for (int repeat = 0; repeat < 3; ++repeat) {
    ops_.gemm(a.device(), false, b.device(), true, c.device(), 0.0F);
    stream_.synchronize();
    const auto bits = c.bytes_from_device();
    if (repeat == 0) first = bits;
    EXPECT_EQ(bits, first) << repeat;
  }
}

TEST_F(CudaGemm, TakesTheScratchThatThePlanCounts) {
  Twin a = twin(33, 65, Dtype::f32), b = twin(65, 17, Dtype::f32), c = twin(33, 17, Dtype::f32),
       bias = twin(1, 17, Dtype::f32);
  CudaScratch plan;
  workspace_.reset_peak();
  ops_.gemm(a.device(), false, b.device(), false, c.device(), 0.0F);
  EXPECT_EQ(workspace_.peak(), plan.gemm(a.device(), false, b.device(), false, c.device(), 0.0F, {}));
  workspace_.reset_peak();
  ops_.gemm(a.device(), false, b.device(), false, c.device(), 0.0F, bias.device());
  EXPECT_EQ(workspace_.peak(),
            plan.gemm(a.device(), false, b.device(), false, c.device(), 0.0F, bias.device()));
  EXPECT_EQ(workspace_.mark(), 0);
  stream_.synchronize();  // before the operands go
}

// Negative control: the comparison notices one operand that differs.
TEST_F(CudaGemm, AWrongOperandIsNoticed) {
  Twin a = twin(17, 65, Dtype::f32), b = twin(65, 33, Dtype::f32), c = twin(17, 33, Dtype::f32);
  ops_.gemm(a.device(), false, b.device(), false, c.device(), 0.0F);
  stream_.synchronize();
  set_element(b.host(), 3, 5, element(b.host(), 3, 5) + 0.01);
  oracle_.gemm(a.host(), false, b.host(), false, c.host(), 0.0F);
  const Matrix actual = c.from_device(), expected = read(c.host());
  EXPECT_FALSE(all_close(std::span(actual.values), std::span(expected.values), tolerance_of(Dtype::f32, 65)));
}

}  // namespace
}  // namespace edgetrain::testing
