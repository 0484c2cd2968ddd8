// A linear-Gaussian policy, one observation at a time: the arithmetic of a rollout's inner loop.
#pragma once

#include <vector>

#include "fastfisher/views.hpp"

namespace fastfisher {

// a = W^T s + e, with e a row of noise that the bias is part of already, and a clipped to the environment's bounds.
class AffineActor {
 public:
  // weights: W, (D, m) in C order; low, high: bounds of the m entries of an action, possibly infinite.
  AffineActor(Index observation_size, std::vector<double> weights, std::vector<double> low, std::vector<double> high);

  Index observation_size() const noexcept { return observation_size_; }
  Index action_size() const noexcept { return static_cast<Index>(low_.size()); }

  // action[k] = sum_i observation[i] W[i, k] + noise[k]; bounded[k] is that within the bounds, as the environment
  // takes it.  Bounded is float or double.
  template <class Bounded>
  void act(const double* observation, const double* noise, double* action, Bounded* bounded) const noexcept;

 private:
  Index observation_size_;
  std::vector<double> weights_, low_, high_;
};

}  // namespace fastfisher
