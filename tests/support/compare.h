// The one comparer. NaN, Inf, empty and mismatched inputs never pass; its own tests are in compare_test.cpp.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <span>

namespace edgetrain::testing {

/// |a - b| <= absolute + relative * |b|, element by element. {0, 0} asks for equality.
struct Tolerance {
  double absolute = 0.0;
  double relative = 0.0;
};
inline constexpr Tolerance kExact{};

template <typename A, typename B>
[[nodiscard]] ::testing::AssertionResult all_close(std::span<const A> actual, std::span<const B> expected,
                                                   Tolerance tolerance) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << "sizes differ: " << actual.size() << " and " << expected.size();
  }
  if (actual.empty()) return ::testing::AssertionFailure() << "nothing to compare";
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto a = static_cast<double>(actual[i]);
    const auto b = static_cast<double>(expected[i]);
    const double difference = std::abs(a - b);
    if (!std::isfinite(a) || !std::isfinite(b) ||
        !(difference <= tolerance.absolute + tolerance.relative * std::abs(b))) {
      return ::testing::AssertionFailure() << "at " << i << " of " << actual.size() << ": " << a
                                           << " instead of " << b << ", off by " << difference;
    }
  }
  return ::testing::AssertionSuccess();
}

/// ||a - b|| / ||b|| <= bound in the Frobenius norm; a zero or non-finite reference never passes.
template <typename A, typename B>
[[nodiscard]] ::testing::AssertionResult close_in_norm(std::span<const A> actual, std::span<const B> expected,
                                                       double bound) {
  if (actual.size() != expected.size() || actual.empty()) {
    return ::testing::AssertionFailure() << "sizes: " << actual.size() << " and " << expected.size();
  }
  double difference = 0.0, reference = 0.0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double d = static_cast<double>(actual[i]) - static_cast<double>(expected[i]);
    difference += d * d;
    reference += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  const double error = std::sqrt(difference / reference);
  if (!(reference > 0.0) || !(error <= bound)) {
    return ::testing::AssertionFailure() << "relative error in norm " << error << ", allowed " << bound;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace edgetrain::testing
