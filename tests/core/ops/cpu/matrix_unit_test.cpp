// The products of MatrixUnit against sums in fp64, on whichever kernel this processor and ONEDNN_MAX_CPU_ISA
// give: CTest runs this program as the machine is, on AVX512-BF16 alone, and where nothing multiplies bf16.
#include "core/ops/cpu/matrix_unit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>

#include "core/base/error.h"
#include "core/ops/cpu/env.h"
#include "tests/core/ops/cpu/operand.h"
#include "tests/support/compare.h"
#include "tests/support/matrix.h"

#if defined(__x86_64__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#endif

namespace edgetrain::testing {
namespace {

constexpr std::uint64_t kSeed = 20240702;
constexpr std::int64_t kSizes[] = {32, 64, 96};

// A (m, k), B (k, n) in pairs and C (m, n), with odd gaps between their rows and guards around them.
struct Product {
  std::int64_t m, n, k;
  Operand a{Dtype::bf16, m, k, 5}, b{Dtype::bf16, k / 2, 2 * n, 2 * 7}, c{Dtype::f32, m, n, 5};

  cpu::UnitBlock block() {
    const Tensor x = a.tensor(), y = b.tensor(), z = c.tensor();
    return {m,
            n,
            k,
            x.as<std::uint16_t>(),
            x.row_stride,
            y.as<std::uint16_t>(),
            y.row_stride / 2,
            z.as<float>(),
            z.row_stride};
  }
};

enum class Verb { assign, add };

struct Answer {
  std::vector<double> values;
  std::vector<double> magnitudes;  // of what was summed: sum |a b| + |c|
};

Answer in_double(Product& p, Verb verb) {
  const Matrix a = read(p.a.tensor()), b = read(p.b.tensor()), c = read(p.c.tensor());
  Answer out;
  for (std::int64_t i = 0; i < p.m; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      double sum = verb == Verb::add ? c[i][j] : 0.0, magnitude = std::abs(sum);
      for (std::int64_t k = 0; k < p.k; ++k) {
        const double product = a[i][k] * b[k / 2][2 * j + k % 2];
        sum += product;
        magnitude += std::abs(product);
      }
      out.values.push_back(sum);
      out.magnitudes.push_back(magnitude);
    }
  }
  return out;
}

std::vector<double> on_unit(Product& p, Verb verb) {
  const cpu::MatrixUnit unit;
  verb == Verb::add ? unit.add(p.block()) : unit.assign(p.block());
  return read(p.c.tensor()).values;
}

template <typename Check>
void for_every_product(const Check& check) {
  std::mt19937_64 random(kSeed);
  for (const auto m : kSizes) {
    for (const auto n : kSizes) {
      for (const auto k : kSizes) {
        for (const Verb verb : {Verb::assign, Verb::add}) {
          SCOPED_TRACE(fmt::format("({}, {}) ({}, {}){}, seed {}", m, k, k, n,
                                   verb == Verb::add ? " added" : "", kSeed));
          Product product{m, n, k};
          check(product, verb, random);
          EXPECT_TRUE(product.c.guards_intact());
        }
      }
    }
  }
}

// C of `assign` is left NaN: it must not be read.
void fill(Product& p, Verb verb, const std::function<void(Operand&)>& values) {
  values(p.a);
  values(p.b);
  if (verb == Verb::add) values(p.c);
}

// Whether there is a unit to test; where the hardware does not multiply bf16, that construction says so.
bool unit_is_here() {
  if (cpu::hardware_multiplies_bf16()) return true;
  try {
    const cpu::MatrixUnit unit;
    ADD_FAILURE() << "a matrix unit where nothing multiplies bf16";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::internal);
  }
  return false;
}

// Small integers: products and sums are exact whatever their order.
TEST(MatrixUnit, IntegersAreExact) {
  if (!unit_is_here()) return;
  for_every_product([](Product& p, Verb verb, std::mt19937_64& random) {
    fill(p, verb, [&](Operand& x) { x.integers(random, -9, 10); });
    const Answer expected = in_double(p, verb);
    EXPECT_TRUE((all_close<double, double>(on_unit(p, verb), expected.values, kExact)));
  });
}

// Products of two bf16 are exact in fp32, so each of the k additions rounds once: k 2^-24 of the magnitudes,
// and as much again for sums of pairs that are rounded apart.
TEST(MatrixUnit, FractionsAreWithinTheRoundingOfTheirSums) {
  if (!unit_is_here()) return;
  for_every_product([](Product& p, Verb verb, std::mt19937_64& random) {
    fill(p, verb, [&](Operand& x) { x.uniform(random, -2.0, 2.0); });
    const Answer expected = in_double(p, verb);
    const auto actual = on_unit(p, verb);
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const double bound = static_cast<double>(p.k) * 0x1p-23 * expected.magnitudes[i];
      ASSERT_TRUE(std::abs(actual[i] - expected.values[i]) <= bound)
          << "at " << i << ": " << actual[i] << " instead of " << expected.values[i];
    }
  });
}

// Negative control: one element of A off by its smallest step shows.
TEST(MatrixUnit, OneWrongElementIsNoticed) {
  if (!unit_is_here()) return;
  std::mt19937_64 random(kSeed);
  Product p{64, 32, 96};
  fill(p, Verb::assign, [&](Operand& x) { x.integers(random, 1, 10); });
  const Answer expected = in_double(p, Verb::assign);
  const double was = element(p.a.tensor(), 63, 95);
  set_element(p.a.tensor(), 63, 95, was + 1.0);
  EXPECT_FALSE((all_close<double, double>(on_unit(p, Verb::assign), expected.values, kExact)));
}

// What CTest asks for with ONEDNN_MAX_CPU_ISA is what runs, or less.
TEST(MatrixUnitHardware, IsNoWiderThanWhatWasAskedFor) {
  const char* variable = std::getenv("ONEDNN_MAX_CPU_ISA");
  const std::string asked = variable == nullptr ? "" : variable;
  if (asked == "AVX2") {
    EXPECT_EQ(cpu::bf16_hardware(), cpu::Bf16Hardware::none);
  }
  if (asked == "AVX512_CORE_BF16") {
    EXPECT_NE(cpu::bf16_hardware(), cpu::Bf16Hardware::amx);
  }
}

#if defined(__x86_64__)

// From here on this process gets EPERM where it asks for the registers of tiles.
bool refuse_tiles() {
  constexpr std::uint32_t kRequestPermission = 0x1023;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kRequestPermission, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// 0: no tiles are claimed, and products are right.
int without_tiles() {
  if (!refuse_tiles()) return 3;
  if (cpu::bf16_hardware() == cpu::Bf16Hardware::amx) return 2;
  if (!unit_is_here()) return 0;
  std::mt19937_64 random(kSeed);
  Product p{32, 96, 64};
  fill(p, Verb::assign, [&](Operand& x) { x.integers(random, -9, 10); });
  const Answer expected = in_double(p, Verb::assign);
  return all_close<double, double>(on_unit(p, Verb::assign), expected.values, kExact) ? 0 : 1;
}

// In a process of its own that has not asked yet: a permission is given once and stays.
TEST(MatrixUnitDeathTest, TilesThatTheKernelRefusesAreNotUsed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(without_tiles()), ::testing::ExitedWithCode(0), "");
}

#endif

}  // namespace
}  // namespace edgetrain::testing
