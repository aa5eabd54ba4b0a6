#include "core/base/singular.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "core/base/philox_normal.h"

namespace edgetrain {
namespace {

using Vector = std::vector<double>;

constexpr double kTolerance = 1e-6;  // of an eigenvalue of w^T w, as a part of the largest one
constexpr double kTiny = 1e-12;      // what is left of a vector that lies in the span of others

// Eight sums side by side, which a compiler may keep in registers; the order is fixed.
template <typename T>
double dot(const T* a, const double* b, std::size_t n) {
  constexpr std::size_t kSums = 8;
  std::array<double, kSums> sums{};
  std::size_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += static_cast<double>(a[i + k]) * b[i + k];
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(a[i]) * b[i];
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}
double dot(const Vector& a, const Vector& b) { return dot(a.data(), b.data(), a.size()); }

template <typename T>
void add_scaled(double factor, const T* x, double* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] += factor * static_cast<double>(x[i]);
}

void remove_parts(Vector& x, const std::vector<Vector>& along) {
  for (int twice = 0; twice < 2; ++twice) {  // once leaves what rounding makes of it
    for (const auto& v : along) add_scaled(-dot(v, x), v.data(), x.data(), x.size());
  }
}

// Makes x a unit vector; returns its length.
double normalise(Vector& x) {
  const double length = std::sqrt(dot(x, x));
  if (length > 0.0) {
    for (double& value : x) value /= length;
  }
  return length;
}

// A unit vector orthogonal to all of `others`, which do not span the space: `hint`, or a random one where
// that lies in their span. The same on every call.
Vector orthonormal(Vector hint, double scale, const std::vector<Vector>& others) {
  remove_parts(hint, others);
  if (normalise(hint) > kTiny * scale && scale > 0.0) return hint;
  std::vector<float> draw(hint.size());
  for (std::int64_t attempt = 0;; ++attempt) {
    fill_normal(/*seed=*/0, "singular vectors", attempt * static_cast<std::int64_t>(draw.size()), draw, 1.0);
    std::copy(draw.begin(), draw.end(), hint.begin());
    const double before = std::sqrt(dot(hint, hint));
    remove_parts(hint, others);
    if (normalise(hint) > 1e-6 * before) return hint;
    ET_CHECK(attempt < 100, "{} vectors of {} elements leave no room", others.size(), hint.size());
  }
}

/// Eigenvalues (descending) and vectors of a symmetric matrix.
struct Eigen {
  Vector values;
  std::vector<Vector> vectors;
};

// Rotates rows and columns p and q of `a`, and rows p and q of `vectors`, so that a[p][q] is 0.
void rotate(std::vector<Vector>& a, std::vector<Vector>& vectors, std::size_t p, std::size_t q) {
  const double theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
  const double t = (theta < 0.0 ? -1.0 : 1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1.0));
  const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
  const auto turn = [c, s](double& x, double& y) {
    const double x_before = x;
    x = c * x - s * y;
    y = s * x_before + c * y;
  };
  const std::size_t n = a.size();
  for (std::size_t k = 0; k < n; ++k) turn(a[k][p], a[k][q]);
  for (std::size_t k = 0; k < n; ++k) turn(a[p][k], a[q][k]);
  for (std::size_t k = 0; k < n; ++k) turn(vectors[p][k], vectors[q][k]);
}

// Cyclic Jacobi (Golub & Van Loan, 8.5).
Eigen eigen_of(std::vector<Vector> a) {
  const std::size_t n = a.size();
  std::vector<Vector> vectors(n, Vector(n, 0.0));
  double diagonal = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    vectors[i][i] = 1.0;
    diagonal = std::max(diagonal, std::abs(a[i][i]));
  }
  constexpr int kSweeps = 40;
  bool still = false;
  for (int sweep = 0; sweep < kSweeps && !still; ++sweep) {
    still = true;
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (std::abs(a[p][q]) <= 1e-15 * diagonal) continue;
        still = false;
        rotate(a, vectors, p, q);
      }
    }
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t x, std::size_t y) { return a[x][x] > a[y][y]; });
  Eigen out;
  for (const std::size_t i : order) {
    out.values.push_back(a[i][i]);
    out.vectors.push_back(vectors[i]);
  }
  return out;
}

// A matrix whose vectors of few elements are `near` and those of many `far`: rows and columns, or the other
// way round.
class Matrix {
 public:
  Matrix(std::span<const float> w, std::size_t rows, std::size_t cols)
      : w_(w), rows_(rows), cols_(cols), near_is_rows_(rows < cols) {}
  [[nodiscard]] std::size_t near() const { return std::min(rows_, cols_); }
  [[nodiscard]] bool near_is_rows() const { return near_is_rows_; }

  [[nodiscard]] Vector to_far(const Vector& near) const { return near_is_rows_ ? sum(near) : dots(near); }
  // Back from the far side of to_far(near), without the far vector where it need not be whole.
  [[nodiscard]] Vector times_gram(const Vector& near) const {
    if (near_is_rows_) return dots(sum(near));
    Vector out(cols_, 0.0);
    for (std::size_t r = 0; r < rows_; ++r)
      add_scaled(dot(row(r), near.data(), cols_), row(r), out.data(), cols_);
    return out;
  }

 private:
  [[nodiscard]] const float* row(std::size_t r) const { return w_.data() + r * cols_; }
  [[nodiscard]] Vector dots(const Vector& x) const {
    Vector out(rows_);
    for (std::size_t r = 0; r < rows_; ++r) out[r] = dot(row(r), x.data(), cols_);
    return out;
  }
  [[nodiscard]] Vector sum(const Vector& x) const {
    Vector out(cols_, 0.0);
    for (std::size_t r = 0; r < rows_; ++r) add_scaled(x[r], row(r), out.data(), cols_);
    return out;
  }

  std::span<const float> w_;
  std::size_t rows_, cols_;
  bool near_is_rows_;
};

// Lanczos vectors of the smaller one of w^T w and w w^T, and the tridiagonal matrix that it is among them.
class Lanczos {
 public:
  explicit Lanczos(const Matrix& w) : w_(w), n_(w.near()) { next_ = orthonormal(Vector(n_, 0.0), 0.0, {}); }

  void step() {
    basis_.push_back(next_);
    Vector z = w_.times_gram(basis_.back());
    diagonal_.push_back(dot(basis_.back(), z));
    scale_ = std::max(scale_, diagonal_.back());
    add_scaled(-diagonal_.back(), basis_.back().data(), z.data(), n_);
    if (basis_.size() > 1) add_scaled(-beside_.back(), basis_[basis_.size() - 2].data(), z.data(), n_);
    remove_parts(z, basis_);
    const double length = std::sqrt(dot(z, z));
    beside_.push_back(length > kTiny * scale_ ? length : 0.0);
    if (basis_.size() < n_) next_ = orthonormal(std::move(z), scale_, basis_);
  }

  [[nodiscard]] std::size_t size() const { return basis_.size(); }
  [[nodiscard]] Eigen eigen() const {
    std::vector<Vector> t(size(), Vector(size(), 0.0));
    for (std::size_t i = 0; i < size(); ++i) {
      t[i][i] = diagonal_[i];
      if (i + 1 < size()) t[i][i + 1] = t[i + 1][i] = beside_[i];
    }
    return eigen_of(std::move(t));
  }
  // Whether the first `count` eigenvalues are those of the matrix.
  [[nodiscard]] bool settled(const Eigen& eigen, std::size_t count) const {
    if (size() == n_) return true;
    for (std::size_t i = 0; i < count; ++i) {
      if (beside_.back() * std::abs(eigen.vectors[i].back()) > kTolerance * scale_) return false;
    }
    // A step that leads nowhere may have left out others as large.
    return beside_.back() > 0.0;
  }
  [[nodiscard]] Vector vector_of(const Vector& weights) const {
    Vector out(n_, 0.0);
    for (std::size_t i = 0; i < size(); ++i) add_scaled(weights[i], basis_[i].data(), out.data(), n_);
    return out;
  }

 private:
  const Matrix& w_;
  std::size_t n_;
  std::vector<Vector> basis_;
  Vector diagonal_, beside_, next_;
  double scale_ = 0.0;  // the largest of diagonal_
};

constexpr std::int64_t kDouble = sizeof(double);

// Lanczos vectors before the first look at what they have found.
std::int64_t first_look(std::int64_t near, std::int64_t count) { return std::min(near, 2 * count + 16); }

// Basis, the matrices of Eigen, results, and a few vectors on their way.
std::int64_t bytes_with(std::int64_t vectors, std::int64_t rows, std::int64_t cols, std::int64_t count) {
  const std::int64_t near = std::min(rows, cols), far = std::max(rows, cols);
  return kDouble * (vectors * near + 4 * vectors * vectors + count * (near + far) + 4 * near + 2 * far);
}

}  // namespace

SingularBytes singular_bytes(std::int64_t rows, std::int64_t cols, std::int64_t count) {
  const std::int64_t near = std::min(rows, cols);
  return {bytes_with(first_look(near, count), rows, cols, count), bytes_with(near, rows, cols, count)};
}

std::optional<SingularTriplets> first_singular_triplets(std::span<const float> w, std::int64_t rows,
                                                        std::int64_t cols, std::int64_t count,
                                                        std::int64_t max_bytes) {
  ET_CHECK(count >= 1 && count <= std::min(rows, cols) && std::ssize(w) == rows * cols,
           "{} singular triplets of a matrix of {} x {}", count, rows, cols);
  const Matrix matrix(w, static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
  const auto wanted = static_cast<std::size_t>(count);
  const auto near = static_cast<std::int64_t>(matrix.near());
  Lanczos lanczos(matrix);
  Eigen eigen;
  for (std::int64_t look = first_look(near, count);; look = std::min(near, look + look / 2)) {
    if (bytes_with(look, rows, cols, count) > max_bytes) return std::nullopt;
    while (lanczos.size() < static_cast<std::size_t>(look)) lanczos.step();
    eigen = lanczos.eigen();
    if (lanczos.settled(eigen, wanted)) break;
  }
  SingularTriplets out;
  auto& nears = matrix.near_is_rows() ? out.left : out.right;
  auto& fars = matrix.near_is_rows() ? out.right : out.left;
  for (std::size_t i = 0; i < wanted; ++i) {
    nears.push_back(lanczos.vector_of(eigen.vectors[i]));
    Vector image = matrix.to_far(nears.back());
    out.values.push_back(std::sqrt(dot(image, image)));
    fars.push_back(orthonormal(std::move(image), out.values.front(), fars));
  }
  return out;
}

}  // namespace edgetrain
