#include "core/base/philox_normal.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kWords = 4;  // of a Philox block

// c[0] x^7 + ... + c[7]
double polynomial(const std::array<double, 8>& c, double x) {
  double value = c[0];
  for (std::size_t i = 1; i < c.size(); ++i) value = value * x + c[i];
  return value;
}

// Quantile of the standard normal distribution for 2^-33 <= p <= 1 - 2^-33, relative error about 1e-16 (AS
// 241). The third branch of AS 241 begins at p = 1.4e-11 and cannot be reached with 32 random bits.
double normal_quantile(double p) {
  constexpr std::array kCentreTop = {
      2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4, 4.5921953931549871457e+4,
      1.3731693765509461125e+4, 1.9715909503065514427e+3, 1.3314166789178437745e+2, 3.3871328727963666080e+0};
  constexpr std::array kCentreBottom = {
      5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4, 2.1213794301586595867e+4,
      5.3941960214247511077e+3, 6.8718700749205790830e+2, 4.2313330701600911252e+1, 1.0};
  constexpr std::array kTailTop = {7.7454501427834140764e-4,  2.27238449892691845833e-2,
                                   2.41780725177450611770e-1, 1.27045825245236838258e+0,
                                   3.64784832476320460504e+0, 5.76949722146069140550e+0,
                                   4.63033784615654529590e+0, 1.42343711074968357734e+0};
  constexpr std::array kTailBottom = {1.05075007164441684324e-9, 5.47593808499534494600e-4,
                                      1.51986665636164571966e-2, 1.48103976427480074590e-1,
                                      6.89767334985100004550e-1, 1.67638483018380384940e+0,
                                      2.05319162663775882187e+0, 1.0};
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(kCentreTop, r) / polynomial(kCentreBottom, r);
  }
  const double tail = q < 0.0 ? p : 1.0 - p;
  const double r = std::sqrt(-std::log(tail)) - 1.6;
  return std::copysign(polynomial(kTailTop, r) / polynomial(kTailBottom, r), q);
}

// The middle of the word's interval, so that 0 and 1 do not occur and p and 1 - p are equally likely.
double uniform(std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

PhiloxCounter counter_of(std::uint64_t name_hash, std::int64_t block) {
  const auto low = philox_words(static_cast<std::uint64_t>(block));
  const auto high = philox_words(name_hash);
  return {low[0], low[1], high[0], high[1]};
}

}  // namespace

void fill_normal(std::uint64_t seed, std::string_view name, std::int64_t first_element,
                 std::span<float> values, double standard_deviation) {
  ET_CHECK(first_element >= 0, "element {} of {}", first_element, name);
  const PhiloxKey key = philox_words(seed);
  const std::uint64_t name_hash = fnv1a(name);
  const auto end = first_element + static_cast<std::int64_t>(values.size());
  for (std::int64_t block = first_element / kWords; block * kWords < end; ++block) {
    const PhiloxCounter words = philox(counter_of(name_hash, block), key);
    const std::int64_t begin = block * kWords;
    for (std::int64_t e = std::max(begin, first_element); e < std::min(begin + kWords, end); ++e) {
      values[static_cast<std::size_t>(e - first_element)] = static_cast<float>(
          standard_deviation * normal_quantile(uniform(words[static_cast<std::size_t>(e - begin)])));
    }
  }
}

}  // namespace edgetrain
