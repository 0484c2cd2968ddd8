// A network policy takes one observation at a time here, which is the arithmetic of a rollout's inner loop.
#pragma once

#include <memory>
#include <vector>

#include "fastfisher/network.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher {

// The output is z = W_L^T [f_{L-1}( ... f_1(W_1^T [s, 1]) ... ), 1] with f_l = tanh; f_1 = sin where the first layer
// makes the random Fourier features sin(P^T s + phi).  Without hidden layers it is linear.
//
// One row at a time goes through the kernels of a batch: the result depends on the weights, the observation and the
// SIMD level alone.  An object has scratch memory of its own, so it serves one thread.
class NetworkActor {
 public:
  // `layers` are W_l, (p_l + 1, q_l) in C order with the biases in the last row; they are copied.
  // Throws std::invalid_argument where there is no layer, or one does not fit the one before.
  NetworkActor(const std::vector<LayerWeights>& layers, bool sine_features);
  ~NetworkActor();
  NetworkActor(NetworkActor&&) noexcept;
  NetworkActor& operator=(NetworkActor&&) noexcept;

  Index observation_size() const noexcept;
  Index outputs() const noexcept;

  // Computes noisy[k] = z[k] + noise[k].
  void act(const double* observation, const double* noise, double* noisy) noexcept;

 private:
  struct Network;
  std::unique_ptr<Network> network_;
};

}  // namespace fastfisher
