// Means and variances of columns come by the corrected two-pass algorithm (Chan, Golub and LeVeque 1983).

#include <algorithm>
#include <vector>

#include "fastfisher/linalg.hpp"

namespace fastfisher {

void column_moments(const MatrixView<const double>& matrix, double* means, double* sum_squares) {
  const Index columns = matrix.columns;
  const auto rows = static_cast<double>(matrix.rows);
  std::fill_n(means, columns, 0.0);
  std::fill_n(sum_squares, columns, 0.0);
  if (matrix.rows == 0) return;
  for (Index n = 0; n < matrix.rows; ++n) {
    for (Index k = 0; k < columns; ++k) means[k] += matrix(n, k);
  }
  for (Index k = 0; k < columns; ++k) means[k] /= rows;
  std::vector<double> sums(static_cast<std::size_t>(columns));  // of deviations: what rounding left of the mean
  double* sum = sums.data();
  for (Index n = 0; n < matrix.rows; ++n) {
    for (Index k = 0; k < columns; ++k) {
      const double deviation = matrix(n, k) - means[k];
      sum[k] += deviation;
      sum_squares[k] += deviation * deviation;
    }
  }
  for (Index k = 0; k < columns; ++k) {
    means[k] += sum[k] / rows;
    sum_squares[k] = std::max(sum_squares[k] - sum[k] * sum[k] / rows, 0.0);
  }
}

}  // namespace fastfisher
