#include "core/base/exact_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace edgetrain {
namespace {

constexpr int kDigitBits = 32;
constexpr std::int64_t kDigitMask = 0xffffffff;
constexpr int kLowestExponent = -1074;  // of the smallest subnormal: the weight of bit 0
constexpr int kMantissaBits = 53;
// An addition changes a digit by less than 2^33, so 2^29 of them stay below 2^62.
constexpr std::int64_t kCarryInterval = std::int64_t{1} << 29;

constexpr std::size_t kPlusInf = ExactSum::kDigits;
constexpr std::size_t kMinusInf = ExactSum::kDigits + 1;
constexpr std::size_t kNan = ExactSum::kDigits + 2;

using Digits = std::array<std::int64_t, ExactSum::kDigits>;

// Brings every digit but the last into [0, 2^32); the last keeps the sign of the number.
void carry(std::span<std::int64_t, ExactSum::kDigits> digits) {
  std::int64_t over = 0;
  for (std::size_t i = 0; i + 1 < digits.size(); ++i) {
    const std::int64_t digit = digits[i] + over;
    over = digit >> kDigitBits;  // arithmetic shift: floor
    digits[i] = digit & kDigitMask;
  }
  digits.back() += over;
}

bool bit_at(const Digits& digits, int position) {
  return (digits[static_cast<std::size_t>(position / kDigitBits)] >> (position % kDigitBits)) & 1;
}

// Position of the highest set bit of a carried, non-negative number; -1 for zero.
int highest_bit(const Digits& digits) {
  for (std::size_t i = digits.size(); i-- > 0;) {
    if (digits[i] != 0) {
      return static_cast<int>(i) * kDigitBits + std::bit_width(static_cast<std::uint64_t>(digits[i])) - 1;
    }
  }
  return -1;
}

bool any_bit_below(const Digits& digits, int position) {
  for (int i = 0; i < position / kDigitBits; ++i) {
    if (digits[static_cast<std::size_t>(i)] != 0) return true;
  }
  const std::int64_t below = (std::int64_t{1} << (position % kDigitBits)) - 1;
  return (digits[static_cast<std::size_t>(position / kDigitBits)] & below) != 0;
}

// Carried and non-negative -> nearest double, ties to even.
double rounded(const Digits& digits) {
  const int top = highest_bit(digits);
  if (top < 0) return 0.0;
  const int lowest =
      std::max(top - (kMantissaBits - 1), 0);  // below 2^53 steps of 2^-1074 everything is exact
  std::uint64_t mantissa = 0;
  for (int position = top; position >= lowest; --position)
    mantissa = 2 * mantissa + (bit_at(digits, position) ? 1 : 0);
  if (lowest > 0 && bit_at(digits, lowest - 1)) {
    const bool above_half = any_bit_below(digits, lowest - 1);
    if (above_half || (mantissa & 1U) != 0) ++mantissa;
  }
  return std::ldexp(static_cast<double>(mantissa), lowest + kLowestExponent);  // exact, or infinity
}

}  // namespace

void ExactSum::add(double value) {
  if (std::isfinite(value)) [[likely]] {
    add_finite(value);
  } else {
    ++limbs_[std::isnan(value) ? kNan : (value > 0.0 ? kPlusInf : kMinusInf)];
  }
}

void ExactSum::add_finite(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto exponent = static_cast<unsigned>((bits >> 52) & 0x7ffU);
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1U);
  const std::uint64_t mantissa = exponent == 0 ? fraction : fraction | (std::uint64_t{1} << 52);
  const unsigned position = exponent == 0 ? 0 : exponent - 1;  // of the mantissa's bit 0

  const unsigned shift = position % kDigitBits;
  const std::uint64_t low = (mantissa & 0xffffffffU) << shift;              // below 2^63
  const std::uint64_t high = (mantissa >> kDigitBits) << shift;             // below 2^52
  const std::uint64_t middle = (low >> kDigitBits) + (high & 0xffffffffU);  // below 2^33
  const std::int64_t sign = (bits >> 63) != 0 ? -1 : 1;
  std::int64_t* digit = limbs_.data() + position / kDigitBits;
  digit[0] += sign * static_cast<std::int64_t>(low & 0xffffffffU);
  digit[1] += sign * static_cast<std::int64_t>(middle);
  digit[2] += sign * static_cast<std::int64_t>(high >> kDigitBits);
  if (++pending_ == kCarryInterval) (void)limbs();
}

void ExactSum::add(std::span<const float> values) {
  for (const float value : values) add(static_cast<double>(value));
}

void ExactSum::add(std::span<const double> values) {
  for (const double value : values) add(value);
}

std::span<std::int64_t, ExactSum::kLimbs> ExactSum::limbs() {
  carry(std::span(limbs_).first<kDigits>());
  pending_ = 0;
  return limbs_;
}

double ExactSum::value() const {
  const bool plus = limbs_[kPlusInf] != 0, minus = limbs_[kMinusInf] != 0;
  if (limbs_[kNan] != 0 || (plus && minus)) return std::numeric_limits<double>::quiet_NaN();
  if (plus || minus)
    return plus ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();

  Digits digits;
  std::copy_n(limbs_.begin(), kDigits, digits.begin());
  carry(digits);
  const bool negative = digits.back() < 0;
  if (negative) {
    for (auto& digit : digits) digit = -digit;
    carry(digits);
  }
  return negative ? -rounded(digits) : rounded(digits);
}

}  // namespace edgetrain
