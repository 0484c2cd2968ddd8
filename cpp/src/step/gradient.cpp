#include "step/gradient.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "runtime/buffer.hpp"
#include "scores/centred.hpp"
#include "scores/expand.hpp"
#include "scores/wide_sums.hpp"

namespace fastfisher::detail {
namespace {

Vector product_with_scores(const Batch& batch, const Survey& surveyed, const Context& context) {
  Vector gradient(static_cast<std::size_t>(surveyed.parameters));
  Vector weighted = weighted_advantages(batch, surveyed.total_weight);
  if (surveyed.mean.empty()) {
    rmatvec<double>(batch.scores, weighted.data(), gradient.data(), context);
  } else {
    transposed_product(batch.scores, batch.weights, surveyed.total_weight, surveyed.mean, std::move(weighted), gradient,
                       context);
  }
  return gradient;
}

// By Cauchy and Schwarz, sum ||s|| w |A| / sum w is at most this, which costs no pass over the scores.
double bound_on_terms(const Batch& batch, const Survey& surveyed) {
  Vector roots(static_cast<std::size_t>(surveyed.samples));
  for (std::size_t n = 0; n < roots.size(); ++n) {
    roots[n] = std::sqrt(weight_of(batch, n) / surveyed.total_weight) * batch.advantages[n];
  }
  const double scores = std::sqrt(surveyed.trace * (surveyed.count / surveyed.total_weight));
  return (scores + norm(surveyed.mean)) * norm(roots);
}

// Computes the gradient by products in single precision, in units of the largest weighted advantage.  Returns whether a
// bound on their rounding is at most `most_rounding` of it.
bool product_in_single(const Batch& batch, const Survey& surveyed, double most_rounding, const Context& context,
                       Vector& gradient) {
  // Squares of this size in sum are of entries in the range of single precision, but for what is negligible in them.
  constexpr double small = 0x1p-50, large = 0x1p50;
  const double squares = surveyed.trace * surveyed.count / surveyed.total_weight;
  if (!(most_rounding > 0.0 && squares > small && squares < large)) return false;
  const Vector weighted = weighted_advantages(batch, surveyed.total_weight);
  const double unit = unit_of(weighted);
  std::vector<float> narrow(weighted.size());
  for (std::size_t n = 0; n < narrow.size(); ++n) narrow[n] = static_cast<float>(weighted[n] / unit);
  gradient.resize(static_cast<std::size_t>(surveyed.parameters));
  rmatvec_to_double(batch.scores, narrow.data(), gradient.data(), context);
  for (double& value : gradient) value *= unit;
  constexpr double rounding = std::numeric_limits<float>::epsilon() / 2.0;
  return rounding * bound_on_terms(batch, surveyed) <= most_rounding * norm(gradient);  // and not for NaN
}

// Returns the gradient again, in long double from the rows, with entries of zero where it is zero against rounding.
// What is centred rounds as the advantages and the scores less their means do, and these are subtracted in long double.
Vector told_from_rounding(const Batch& batch, const Survey& surveyed, const Context& context) {
  using Long = long double;
  const auto d = static_cast<std::size_t>(surveyed.parameters);
  const auto samples = static_cast<std::size_t>(surveyed.samples);
  const Vector weighted = weighted_advantages(batch, surveyed.total_weight);
  const bool centred = !surveyed.mean.empty();
  std::vector<Long> sum(d, 0.0L), terms(d, 0.0L), mean(d, 0.0L);
  Buffer<double> row(surveyed.parameters);
  const auto for_each_row = [&](const auto& take) {
    for (std::size_t n = 0; n < samples; ++n) {
      if (n % 1024 == 0 && context.poll) context.poll();
      expand<double>(batch.scores, static_cast<Index>(n), 1, nullptr, row.data());
      take(n, row.data());
    }
  };
  Long total = 0.0L, mean_advantage = 0.0L;
  for (std::size_t n = 0; n < samples; ++n) total += weight_of(batch, n);
  if (centred) {
    for (std::size_t n = 0; n < samples; ++n) mean_advantage += weight_of(batch, n) / total * batch.advantages[n];
    for_each_row([&](std::size_t n, const double* s) {
      for (std::size_t k = 0; k < d; ++k) mean[k] += weight_of(batch, n) / total * s[k];
    });
  }
  for_each_row([&](std::size_t n, const double* s) {
    const Long share = weight_of(batch, n) / total;
    const Long advantage = batch.advantages[n] - mean_advantage;
    for (std::size_t k = 0; k < d; ++k) {
      const Long deviation = s[k] - mean[k];
      sum[k] += share * advantage * deviation;
      terms[k] += std::fabs(deviation * weighted[n]) + (centred ? std::fabs(share * advantage * s[k]) : 0.0L);
    }
  });
  Vector gradient(d, 0.0);
  for (std::size_t k = 0; k < d; ++k) {
    if (std::fabs(sum[k]) > rounding_of_terms * terms[k]) gradient[k] = static_cast<double>(sum[k]);
  }
  return gradient;
}

}  // namespace

void find_gradient(const Batch& batch, double most_rounding, const Context& context, Survey& surveyed) {
  surveyed.batch = &batch;
  Vector& g = surveyed.gradient;
  if (batch.gradient != nullptr) {
    g.assign(batch.gradient, batch.gradient + surveyed.parameters);
  } else if (!product_in_single(batch, surveyed, most_rounding, context, g)) {
    g = product_with_scores(batch, surveyed, context);
    // The sums of all rows round by the square root of their number, at most, at random.
    const double looser = std::sqrt(static_cast<double>(surveyed.samples));
    const double size = norm(g);
    if (size > 0.0 && size <= looser * rounding_of_terms * bound_on_terms(batch, surveyed)) {
      g = told_from_rounding(batch, surveyed, context);
      surveyed.gradient_of_rounding = norm(g) == 0.0;
    }
  }
  double largest = 0.0;
  for (const double value : g) {
    if (!std::isfinite(value)) {
      // A given gradient is finite: momentum has been at it.
      throw std::overflow_error(batch.gradient != nullptr
                                    ? "previous: its product with F leaves the range of float64"
                                    : "advantages: their product with the scores leaves the range of float64");
    }
    largest = std::max(largest, std::fabs(value));
  }
  surveyed.gradient_scale = unit_of(largest);
}

}  // namespace fastfisher::detail
