// Every layer needs vectors of double, and two operations on them.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace fastfisher::detail {

using Vector = std::vector<double>;

inline double dot(std::span<const double> a, std::span<const double> b) noexcept {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The entries are scaled by the largest, so that neither a square nor their sum leaves the range of double.
inline double norm(std::span<const double> a) noexcept {
  double largest = 0.0;
  for (const double value : a) largest = std::fmax(largest, std::fabs(value));
  if (largest == 0.0) {  // fmax passes over a NaN
    for (const double value : a) largest += value;
    return largest;
  }
  if (std::isinf(largest)) return largest;
  double sum = 0.0;
  for (const double value : a) sum += (value / largest) * (value / largest);
  return largest * std::sqrt(sum);
}

}  // namespace fastfisher::detail
