// Means and variances of columns, panel by panel (Chan, Golub and LeVeque 1979).

#include <algorithm>
#include <vector>

#include "fastfisher/linalg.hpp"

namespace fastfisher {

void column_moments(const MatrixView<const double>& matrix, double* means, double* sum_squares) {
  constexpr Index panel_rows = 128;  // read twice while they are in the cache
  const Index columns = matrix.columns;
  std::vector<double> panel(static_cast<std::size_t>(2 * columns));
  double* mean = panel.data();
  double* square = mean + columns;
  std::fill_n(means, columns, 0.0);
  std::fill_n(sum_squares, columns, 0.0);
  for (Index first = 0; first < matrix.rows; first += panel_rows) {
    const Index count = std::min(panel_rows, matrix.rows - first);
    std::fill(panel.begin(), panel.end(), 0.0);
    for (Index n = first; n < first + count; ++n) {
      for (Index k = 0; k < columns; ++k) mean[k] += matrix(n, k);
    }
    for (Index k = 0; k < columns; ++k) mean[k] /= static_cast<double>(count);
    for (Index n = first; n < first + count; ++n) {
      for (Index k = 0; k < columns; ++k) {
        const double deviation = matrix(n, k) - mean[k];
        square[k] += deviation * deviation;
      }
    }
    const double share = static_cast<double>(count) / static_cast<double>(first + count);
    for (Index k = 0; k < columns; ++k) {
      const double shift = mean[k] - means[k];
      means[k] += shift * share;
      sum_squares[k] += square[k] + shift * shift * share * static_cast<double>(first);
    }
  }
}

}  // namespace fastfisher
