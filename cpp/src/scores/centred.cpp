#include "scores/centred.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "kernels/packed_operand.hpp"
#include "scores/blocks.hpp"
#include "scores/expand.hpp"

namespace fastfisher::detail {
namespace {

// Finds the mean of the rows row_of(n), by the shares.
template <class View, class RowOf>
Vector column_means(const View& matrix, const Vector& shares, const RowOf& row_of) {
  Vector means(static_cast<std::size_t>(matrix.columns), 0.0);
  for (Index n = 0; n < static_cast<Index>(shares.size()); ++n) {
    const Index row = row_of(n);
    for (Index k = 0; k < matrix.columns; ++k) means[k] += shares[n] * static_cast<double>(matrix(row, k));
  }
  return means;
}

}  // namespace

template <class Real>
void centred_rows(const ScoresView& scores, const Vector& mean, Index first, Index count, const double* scale,
                  Real* rows) {
  const auto d = static_cast<Index>(mean.size());
  Buffer<double> wide(count * d);
  expand<double>(scores, first, count, nullptr, wide.data());
  for (Index n = 0; n < count; ++n) {
    const double factor = scale == nullptr ? 1.0 : scale[n];
    for (Index k = 0; k < d; ++k) rows[n * d + k] = static_cast<Real>(factor * (wide[n * d + k] - mean[k]));
  }
}

// The part of u that lies along w has no part in the product, but would cancel to nothing only in exact arithmetic.
void transposed_product(const ScoresView& scores, const double* weights, double total_weight, const Vector& mean,
                        Vector u, Vector& y, const Context& context) {
  double sum = 0.0, left = 0.0;
  for (const double value : u) sum += value;
  for (std::size_t n = 0; n < u.size(); ++n) {
    u[n] -= (weights == nullptr ? 1.0 : weights[n]) * (sum / total_weight);
    left += u[n];
  }
  rmatvec<double>(scores, u.data(), y.data(), context);
  for (std::size_t k = 0; k < y.size(); ++k) y[k] -= left * mean[k];
}

void centred_square_norms(const ScoresView& scores, const Vector& mean, double* norms, const Context& context) {
  constexpr Index rows_at_once = 64;
  const auto d = static_cast<Index>(mean.size());
  parallel_for(context, thread_count(context), ceil_divide(scores.rows(), rows_at_once), [&](Index part, int) {
    const Index first = part * rows_at_once, count = std::min(rows_at_once, scores.rows() - first);
    Buffer<double> rows(count * d);
    centred_rows(scores, mean, first, count, nullptr, rows.data());
    for (Index n = 0; n < count; ++n) {
      double sum = 0.0;
      for (Index k = 0; k < d; ++k) sum += rows[n * d + k] * rows[n * d + k];
      norms[first + n] = sum;
    }
  });
}

template <class Real>
CentredForGram<Real>::CentredForGram(const ScoresView& scores, const Vector& mean, const Vector& shares,
                                     const Context& context) {
  const double* block_mean = mean.data();
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            add_pair(view, shares);
          } else {
            add_dense(view, block_mean, context);
          }
        },
        block);
    block_mean += columns(block);
  }
  view_ = ScoresView(std::move(blocks_));
}

template <class Real>
MatrixView<const Real> CentredForGram<Real>::keep(Buffer<Real>&& copy, Index rows, Index columns) {
  memory_.push_back(std::move(copy));
  return row_major<const Real>(memory_.back().data(), rows, columns);
}

template <class Real>
template <class View>
void CentredForGram<Real>::add_dense(const View& block, const double* mean, const Context& context) {
  Buffer<Real> copy(block.rows * block.columns);
  centred_copy(block, mean, copy.data(), context);
  blocks_.push_back(keep(std::move(copy), block.rows, block.columns));
}

template <class Real>
template <class View>
void CentredForGram<Real>::add_pair(const View& pair, const Vector& shares) {
  const Index p = pair.left.columns, q = pair.right.columns;
  const Vector left_mean = column_means(pair.left, shares, [&pair](Index n) { return pair.left_row(n); });
  const Vector right_mean = column_means(pair.right, shares, std::identity{});
  const double length = norm(left_mean);
  Buffer<Real> left(pair.left.rows * p), right(pair.rows() * q), beside(pair.rows() * q);
  Vector along(static_cast<std::size_t>(pair.left.rows), 0.0);  // c
  for (Index n = 0; n < pair.left.rows; ++n) {
    double inner = 0.0;
    for (Index k = 0; k < p; ++k) {
      inner += (static_cast<double>(pair.left(n, k)) - left_mean[k]) * (length > 0.0 ? left_mean[k] / length : 0.0);
    }
    along[n] = length > 0.0 ? inner / length : 0.0;
    for (Index k = 0; k < p; ++k) {
      const double deviation = static_cast<double>(pair.left(n, k)) - left_mean[k];
      left[n * p + k] = static_cast<Real>(deviation - along[n] * left_mean[k]);
    }
  }
  for (Index n = 0; n < pair.rows(); ++n) {
    const double c = along[pair.left_row(n)];
    for (Index k = 0; k < q; ++k) {
      const auto value = static_cast<double>(pair.right(n, k));
      right[n * q + k] = static_cast<Real>(value);
      beside[n * q + k] = static_cast<Real>(length * (c * value + value - right_mean[k]));
    }
  }
  const auto left_view = keep(std::move(left), pair.left.rows, p);
  blocks_.push_back(
      PairView<const Real>{left_view, keep(std::move(right), pair.rows(), q), pair.repeats, pair.skipped});
  blocks_.push_back(keep(std::move(beside), pair.rows(), q));
}

template void centred_rows<float>(const ScoresView&, const Vector&, Index, Index, const double*, float*);
template void centred_rows<double>(const ScoresView&, const Vector&, Index, Index, const double*, double*);
template class CentredForGram<float>;
template class CentredForGram<double>;

}  // namespace fastfisher::detail
