// Singular triplets against what defines them: orthonormal vectors, w v = s u, and the values of matrices
// that were made from known ones.
#include "core/base/singular.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace edgetrain {
namespace {

constexpr std::uint64_t kSeed = 20241122;

using Vectors = std::vector<std::vector<double>>;

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Random vectors of n elements, made orthonormal.
Vectors orthonormal(std::size_t count, std::size_t n, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Vectors out;
  for (std::size_t k = 0; k < count; ++k) {
    std::vector<double> x(n);
    for (double& value : x) value = normal(random);
    for (int twice = 0; twice < 2; ++twice) {
      for (const auto& other : out) {
        const double part = dot(x, other);
        for (std::size_t i = 0; i < n; ++i) x[i] -= part * other[i];
      }
    }
    const double length = std::sqrt(dot(x, x));
    for (double& value : x) value /= length;
    out.push_back(std::move(x));
  }
  return out;
}

std::vector<float> matrix_of(const std::vector<double>& values, std::size_t rows, std::size_t cols,
                             std::mt19937_64& random) {
  const Vectors left = orthonormal(values.size(), rows, random);
  const Vectors right = orthonormal(values.size(), cols, random);
  std::vector<float> w(rows * cols);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      double sum = 0.0;
      for (std::size_t k = 0; k < values.size(); ++k) sum += values[k] * left[k][r] * right[k][c];
      w[r * cols + c] = static_cast<float>(sum);
    }
  }
  return w;
}

void expect_triplets(const std::vector<float>& w, std::size_t rows, std::size_t cols,
                     const std::vector<double>& values, double tolerance = 1e-5) {
  const auto found = *first_singular_triplets(w, static_cast<std::int64_t>(rows),
                                              static_cast<std::int64_t>(cols), std::ssize(values));
  for (std::size_t k = 0; k < values.size(); ++k) {
    EXPECT_NEAR(found.values[k], values[k], tolerance * values[0]) << k << ", seed " << kSeed;
    for (std::size_t other = 0; other <= k; ++other) {
      const double same = k == other ? 1.0 : 0.0;
      EXPECT_NEAR(dot(found.left[k], found.left[other]), same, 1e-8);
      EXPECT_NEAR(dot(found.right[k], found.right[other]), same, 1e-8);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      double image = 0.0;
      for (std::size_t c = 0; c < cols; ++c)
        image += static_cast<double>(w[r * cols + c]) * found.right[k][c];
      ASSERT_NEAR(image, found.values[k] * found.left[k][r], 2e-3 * values[0]) << k << ", row " << r;
    }
  }
}

TEST(Singular, ValuesAreThoseThatTheMatrixWasMadeOf) {
  std::mt19937_64 random(kSeed);
  expect_triplets(matrix_of({5.0, 3.0, 1.0, 0.5}, 31, 17, random), 31, 17, {5.0, 3.0, 1.0});
  expect_triplets(matrix_of({5.0, 3.0, 1.0, 0.5}, 17, 31, random), 17, 31, {5.0, 3.0, 1.0});
  expect_triplets(matrix_of({2.0}, 1, 9, random), 1, 9, {2.0});
  expect_triplets(matrix_of({2.0}, 9, 1, random), 9, 1, {2.0});
}

// What trained weights look like: a few large values, then many that lie close together.
TEST(Singular, ManyCloseValuesBehindTheFirst) {
  std::mt19937_64 random(kSeed);
  std::vector<double> values = {9.0, 7.0, 4.0, 3.9};
  for (int k = 0; k < 100; ++k) values.push_back(3.0 - 0.01 * k);
  const auto w = matrix_of(values, 137, 211, random);
  values.resize(6);
  expect_triplets(w, 137, 211, values);
}

TEST(Singular, EqualValues) {
  std::mt19937_64 random(kSeed);
  expect_triplets(matrix_of({4.0, 4.0, 4.0, 1.0}, 23, 29, random), 23, 29, {4.0, 4.0, 4.0, 1.0});
}

TEST(Singular, AsManyAsThereAre) {
  std::mt19937_64 random(kSeed);
  expect_triplets(matrix_of({3.0, 2.0, 1.0}, 3, 8, random), 3, 8, {3.0, 2.0, 1.0});
}

TEST(Singular, ARankBelowWhatIsAskedForGivesOrthonormalVectorsAndZeros) {
  std::mt19937_64 random(kSeed);
  const auto w = matrix_of({3.0, 2.0}, 19, 23, random);
  const auto found = *first_singular_triplets(w, 19, 23, 4);
  EXPECT_NEAR(found.values[2], 0.0, 1e-3);
  const auto nothing = *first_singular_triplets(std::vector<float>(12 * 7, 0.0F), 12, 7, 3);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(nothing.values[k], 0.0);
    EXPECT_NEAR(dot(nothing.left[k], nothing.left[k]), 1.0, 1e-12);
    EXPECT_NEAR(dot(nothing.left[k], nothing.left[(k + 1) % 3]), 0.0, 1e-12);
  }
}

TEST(Singular, TheSameBitsEveryTime) {
  std::mt19937_64 random(kSeed);
  const auto w = matrix_of({5.0, 3.0, 1.0, 0.5}, 31, 17, random);
  EXPECT_EQ(first_singular_triplets(w, 31, 17, 3)->left, first_singular_triplets(w, 31, 17, 3)->left);
}

// Random values have no first ones to speak of: many vectors until they have settled.
TEST(Singular, NothingWhereItTakesMoreHeapThanAllowed) {
  std::mt19937_64 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<float> w(300 * 200);
  for (float& value : w) value = normal(random);
  const auto [least, most] = singular_bytes(300, 200, 2);
  EXPECT_FALSE(first_singular_triplets(w, 300, 200, 2, least - 1));
  EXPECT_FALSE(first_singular_triplets(w, 300, 200, 2, least));
  EXPECT_TRUE(first_singular_triplets(w, 300, 200, 2, most));
}

}  // namespace
}  // namespace edgetrain
