// AdamW on the GPU against the CPU's scalar code, to the bit: a state may move between host and device.
#include "core/ops/cpu/update_scalar.h"
#include "core/tensor/bf16.h"
#include "tests/core/ops/cuda/gpu_test.h"

namespace edgetrain::testing {
namespace {

constexpr std::int64_t kN = 100003;
constexpr AdamWConstants kConstants{.beta1 = 0.9F, .beta2 = 0.95F, .eps = 1e-8F, .weight_decay = 0.1F};
constexpr UpdateScalars kScalars{.lr = 3e-4F, .grad_scale = 0.7F, .bias1 = 0.271F, .bias2 = 0.142625F};

class CudaAdamW : public GpuTest {
 protected:
  struct States {
    Twin grad, master, m, v, out;
  };
  States states(Dtype grad, Twin out, Placement placement) {
    States s{twin(1, kN, grad, placement), twin(1, kN, Dtype::f32, placement),
             twin(1, kN, Dtype::f32, placement), twin(1, kN, Dtype::f32, placement), std::move(out)};
    for (auto& value : s.v.host().flat<float>()) value = value * value;  // a second moment is not negative
    s.v.upload();
    return s;
  }
  static void update_host(States& s) {
    for (std::int64_t i = 0; i < kN; ++i) {
      const auto grad = static_cast<float>(element(s.grad.host(), 0, i));
      float& master = s.master.host().row<float>(0)[i];
      cpu::adamw_scalar(kConstants, kScalars, grad, master, s.m.host().row<float>(0)[i],
                        s.v.host().row<float>(0)[i]);
      if (!s.out.host().absent()) set_element(s.out.host(), 0, i, master);
    }
  }
  void update_device(const States& s, std::int64_t begin, std::int64_t end) {
    const auto part = [&](const Twin& twin) {
      return twin.device().absent() ? Tensor{} : twin.device().col_range(begin, end - begin);
    };
    ops_.adamw(kConstants, kScalars, part(s.grad), part(s.master), part(s.m), part(s.v), part(s.out));
  }
  void expect_same_bits(States& s) {
    expect_equal(s.master, kExact);
    expect_equal(s.m, kExact);
    expect_equal(s.v, kExact);
    if (!s.out.host().absent()) expect_equal(s.out, kExact);
  }
};

TEST_F(CudaAdamW, HasTheBitsOfTheScalarCode) {
  for (const auto placement : {Placement{}, Placement{.gap = 0, .offset = 1}}) {
    for (const auto grad : {Dtype::f32, Dtype::bf16}) {
      States plain = states(grad, {}, placement),
             bf16 = states(grad, twin(1, kN, Dtype::bf16, placement), placement),
             f16 = states(grad, twin(1, kN, Dtype::f16, placement), placement);
      for (auto* s : {&plain, &bf16, &f16}) {
        for (int step = 0; step < 3; ++step) {
          update_host(*s);
          update_device(*s, 0, kN);
        }
        expect_same_bits(*s);
      }
    }
  }
}

TEST_F(CudaAdamW, EverySplitHasTheSameBits) {
  States s = states(Dtype::f32, twin(1, kN, Dtype::bf16), {});
  update_host(s);
  for (const std::int64_t bounds[] = {0, 1, 5, 1024, 77777, kN}; const auto i : {0, 1, 2, 3, 4}) {
    update_device(s, bounds[i], bounds[i + 1]);
  }
  expect_same_bits(s);
}

TEST_F(CudaAdamW, NoElementsAreLegal) {
  States s = states(Dtype::f32, {}, {});
  update_device(s, 7, 7);
  stream_.synchronize();
}

}  // namespace
}  // namespace edgetrain::testing
