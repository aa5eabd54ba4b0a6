#include "core/base/philox_normal.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kWords = 4;  // of a Philox block

// c[0] x^7 + ... + c[7]. Written out: a loop is not unrolled at -O2.
double polynomial(const std::array<double, 8>& c, double x) {
  return ((((((c[0] * x + c[1]) * x + c[2]) * x + c[3]) * x + c[4]) * x + c[5]) * x + c[6]) * x + c[7];
}

// Quantile of the standard normal distribution for 2^-33 <= p <= 1 - 2^-33, relative error about 1e-16 (AS
// 241), in two parts: q = p - 0.5 within 0.425 of the middle, and the tails. The third branch of AS 241
// begins at p = 1.4e-11 and cannot be reached with 32 random bits.
constexpr double kCentre = 0.425;

double quantile_of_centre(double q) {
  constexpr std::array kTop = {2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
                               4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
                               1.3314166789178437745e+2, 3.3871328727963666080e+0};
  constexpr std::array kBottom = {
      5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4, 2.1213794301586595867e+4,
      5.3941960214247511077e+3, 6.8718700749205790830e+2, 4.2313330701600911252e+1, 1.0};
  const double r = 0.180625 - q * q;
  return q * polynomial(kTop, r) / polynomial(kBottom, r);
}

double quantile_of_tail(double p) {
  constexpr std::array kTop = {7.7454501427834140764e-4,  2.27238449892691845833e-2,
                               2.41780725177450611770e-1, 1.27045825245236838258e+0,
                               3.64784832476320460504e+0, 5.76949722146069140550e+0,
                               4.63033784615654529590e+0, 1.42343711074968357734e+0};
  constexpr std::array kBottom = {1.05075007164441684324e-9, 5.47593808499534494600e-4,
                                  1.51986665636164571966e-2, 1.48103976427480074590e-1,
                                  6.89767334985100004550e-1, 1.67638483018380384940e+0,
                                  2.05319162663775882187e+0, 1.0};
  const double tail = p < 0.5 ? p : 1.0 - p;
  const double r = std::sqrt(-std::log(tail)) - 1.6;
  return std::copysign(polynomial(kTop, r) / polynomial(kBottom, r), p - 0.5);
}

// The middle of the word's interval, so that 0 and 1 do not occur and p and 1 - p are equally likely.
double uniform(std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

PhiloxCounter counter_of(std::uint64_t name_hash, std::int64_t block) {
  const auto low = philox_words(static_cast<std::uint64_t>(block));
  const auto high = philox_words(name_hash);
  return {low[0], low[1], high[0], high[1]};
}

// Philox blocks [first, first + count), count <= kBlocks, as normal values. Three plain loops instead of one
// with a branch: the first two have no jumps, so the compiler vectorises and the processor overlaps them; the
// 15% that lie in the tails are done again behind them. Every value goes through the same operations wherever
// it stands.
constexpr std::size_t kBlocks = 64;
constexpr std::size_t kValues = kBlocks * kWords;

void normal_blocks(std::uint64_t name_hash, PhiloxKey key, std::int64_t first, std::size_t count,
                   std::array<double, kValues>& out) {
  std::array<double, kValues> p;
  for (std::size_t b = 0; b < count; ++b) {
    const PhiloxCounter words = philox(counter_of(name_hash, first + static_cast<std::int64_t>(b)), key);
    for (std::size_t w = 0; w < kWords; ++w) p[b * kWords + w] = uniform(words[w]);
  }
  for (std::size_t i = 0; i < count * kWords; ++i) out[i] = quantile_of_centre(p[i] - 0.5);
  for (std::size_t i = 0; i < count * kWords; ++i) {
    if (std::abs(p[i] - 0.5) > kCentre) out[i] = quantile_of_tail(p[i]);
  }
}

}  // namespace

void fill_normal(std::uint64_t seed, std::string_view name, std::int64_t first_element,
                 std::span<float> values, double standard_deviation) {
  ET_CHECK(first_element >= 0, "element {} of {}", first_element, name);
  const PhiloxKey key = philox_words(seed);
  const std::uint64_t name_hash = fnv1a(name);
  const auto end = first_element + static_cast<std::int64_t>(values.size());
  std::array<double, kValues> normal;
  for (std::int64_t block = first_element / kWords; block * kWords < end; block += kBlocks) {
    const std::int64_t begin = block * kWords;
    const std::int64_t stop = std::min<std::int64_t>(begin + kValues, end);
    normal_blocks(name_hash, key, block, static_cast<std::size_t>((stop - begin + kWords - 1) / kWords),
                  normal);
    for (std::int64_t e = std::max(begin, first_element); e < stop; ++e) {
      values[static_cast<std::size_t>(e - first_element)] =
          static_cast<float>(standard_deviation * normal[static_cast<std::size_t>(e - begin)]);
    }
  }
}

}  // namespace edgetrain
