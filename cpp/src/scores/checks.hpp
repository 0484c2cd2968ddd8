// Scores that cannot be used are refused here, in one place.
#pragma once

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "fastfisher/linalg.hpp"

namespace fastfisher::detail {

// Throws std::invalid_argument, naming the row, where scores hold a NaN or an infinity.
inline void refuse_nonfinite(const ScoresView& scores, const Context& context) {
  if (const Index row = first_nonfinite_row(scores, context); row >= 0) {
    throw std::invalid_argument("scores: expected finite values, row " + std::to_string(row) + " holds NaN or Inf");
  }
}

// Throws std::invalid_argument, naming the row, where its weight is negative or not finite.
inline void check_weight(double weight, std::size_t row) {
  if (weight >= 0.0 && std::isfinite(weight)) return;
  char text[96];
  std::snprintf(text, sizeof(text), "weights: expected finite values >= 0, row %zu holds %g", row, weight);
  throw std::invalid_argument(text);
}

// Throws std::invalid_argument, naming the argument and the entry, where one of its values is not finite.
inline void check_finite(const double* values, Index size, const char* argument) {
  for (Index k = 0; k < size; ++k) {
    if (std::isfinite(values[k])) continue;
    throw std::invalid_argument(std::string(argument) + ": expected finite values, entry " + std::to_string(k) +
                                " holds NaN or Inf");
  }
}

}  // namespace fastfisher::detail
