#include "factor/tridiagonal.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include "runtime/thread_pool.hpp"

namespace fastfisher::detail {

bool TridiagonalEigen::decompose(const Band& matrix, const Context& context) {
  const Index n = matrix.size;
  diagonal_.resize(static_cast<std::size_t>(n));
  below_.assign(static_cast<std::size_t>(n), 0.0);
  for (Index j = 0; j < n; ++j) {
    diagonal_[j] = matrix.column(j)[0];
    if (j + 1 < n) below_[j] = matrix.column(j)[1];
    if (!std::isfinite(diagonal_[j]) || !std::isfinite(below_[j])) return false;
  }
  const auto negligible = [this](Index j) {
    const double neighbours = std::fabs(diagonal_[j]) + std::fabs(diagonal_[j + 1]);
    return std::fabs(below_[j]) <= std::numeric_limits<double>::epsilon() * neighbours ||
           std::fabs(below_[j]) < std::numeric_limits<double>::min();
  };
  constexpr int most_sweeps = 60;  // of an eigenvalue; two are usual
  for (Index first = 0; first < n; ++first) {
    poll(context);
    for (int attempt = 0;; ++attempt) {
      Index last = first;
      while (last + 1 < n && !negligible(last)) ++last;
      if (last == first) break;
      if (attempt == most_sweeps) return false;
      sweep(first, last);
    }
  }
  return true;
}

// The shift is the eigenvalue of the leading 2 x 2 block nearer to its first entry (Wilkinson's).
void TridiagonalEigen::sweep(Index first, Index last) {
  Sweep done{last, {}};
  done.rotations.reserve(static_cast<std::size_t>(last - first));
  const double half = (diagonal_[first + 1] - diagonal_[first]) / (2.0 * below_[first]);
  const double root = std::hypot(half, 1.0);
  double bulge_diagonal = diagonal_[last] - diagonal_[first] + below_[first] / (half + (half >= 0.0 ? root : -root));
  double cosine = 1.0, sine = 1.0, correction = 0.0;
  Index row = last - 1;
  for (; row >= first; --row) {
    const double chased = sine * below_[row];
    const double kept = cosine * below_[row];
    const double length = std::hypot(chased, bulge_diagonal);
    below_[row + 1] = length;
    if (length == 0.0) {  // the block has come apart here
      diagonal_[row + 1] -= correction;
      break;
    }
    sine = chased / length;
    cosine = bulge_diagonal / length;
    const double before = diagonal_[row + 1] - correction;
    const double mixed = (diagonal_[row] - before) * sine + 2.0 * cosine * kept;
    correction = sine * mixed;
    diagonal_[row + 1] = before + correction;
    bulge_diagonal = cosine * mixed - kept;
    done.rotations.push_back({cosine, sine});
  }
  below_[last] = 0.0;
  if (row < first) {
    diagonal_[first] -= correction;
    below_[first] = bulge_diagonal;
  }
  sweeps_.push_back(std::move(done));
}

void TridiagonalEigen::to_eigenvectors(Vector& x) const {
  for (const Sweep& done : sweeps_) {
    Index row = done.last - 1;
    for (const Rotation& rotation : done.rotations) {
      const double upper = x[row], lower = x[row + 1];
      x[row + 1] = rotation.sine * upper + rotation.cosine * lower;
      x[row] = rotation.cosine * upper - rotation.sine * lower;
      --row;
    }
  }
}

void TridiagonalEigen::from_eigenvectors(Vector& x) const {
  for (auto done = sweeps_.rbegin(); done != sweeps_.rend(); ++done) {
    Index row = done->last - static_cast<Index>(done->rotations.size());
    for (auto rotation = done->rotations.rbegin(); rotation != done->rotations.rend(); ++rotation) {
      const double upper = x[row], lower = x[row + 1];
      x[row] = rotation->cosine * upper + rotation->sine * lower;
      x[row + 1] = rotation->cosine * lower - rotation->sine * upper;
      ++row;
    }
  }
}

}  // namespace fastfisher::detail
