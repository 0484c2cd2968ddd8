#include "fastfisher/affine_actor.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace fastfisher {

AffineActor::AffineActor(Index observation_size, std::vector<double> weights, std::vector<double> low,
                         std::vector<double> high)
    : observation_size_(observation_size), weights_(std::move(weights)), low_(std::move(low)), high_(std::move(high)) {
  if (low_.size() != high_.size()) throw std::invalid_argument("high: expected as many entries as low");
  if (weights_.size() != static_cast<std::size_t>(observation_size) * low_.size()) {
    throw std::invalid_argument("weights: expected (observation size) x (action size) entries");
  }
}

template <class Bounded>
void AffineActor::act(const double* observation, const double* noise, double* action, Bounded* bounded) const noexcept {
  const std::size_t size = low_.size();
  std::copy_n(noise, size, action);
  const double* row = weights_.data();
  for (Index i = 0; i < observation_size_; ++i, row += size) {
    for (std::size_t k = 0; k < size; ++k) action[k] += observation[i] * row[k];
  }
  for (std::size_t k = 0; k < size; ++k) {
    bounded[k] = static_cast<Bounded>(std::min(std::max(action[k], low_[k]), high_[k]));
  }
}

template void AffineActor::act<float>(const double*, const double*, double*, float*) const noexcept;
template void AffineActor::act<double>(const double*, const double*, double*, double*) const noexcept;

}  // namespace fastfisher
