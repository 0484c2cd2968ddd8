#include "fastfisher/network_actor.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/kernel_table.hpp"
#include "network/padded_layer.hpp"
#include "runtime/buffer.hpp"

namespace fastfisher {

using detail::PaddedLayer;

struct NetworkActor::Network {
  std::vector<PaddedLayer<double>> layers;
  bool sine_features = false;
  // The layers are padded for these kernels: another level may be chosen while the actor lives.
  const detail::RealKernels<double>* kernels = &detail::kernels().real<double>();
  // These hold in turn what one layer gives and the next one takes.
  detail::Buffer<double> values[2];
};

NetworkActor::NetworkActor(const std::vector<LayerWeights>& layers, bool sine_features)
    : network_(std::make_unique<Network>()) {
  if (layers.empty()) throw std::invalid_argument("layers: expected at least one, got none");
  Index widest = 0;
  for (const LayerWeights& layer : layers) {
    if (!network_->layers.empty() && layer.inputs != network_->layers.back().outputs) {
      throw std::invalid_argument("layers: expected " + std::to_string(network_->layers.back().outputs + 1) +
                                  " rows, got " + std::to_string(layer.inputs + 1));
    }
    network_->layers.emplace_back(layer, false, network_->kernels->lanes);
    widest = std::max(widest, network_->layers.back().entries);
  }
  network_->sine_features = sine_features;
  for (auto& values : network_->values) values = detail::Buffer<double>(widest);
}

NetworkActor::~NetworkActor() = default;
NetworkActor::NetworkActor(NetworkActor&&) noexcept = default;
NetworkActor& NetworkActor::operator=(NetworkActor&&) noexcept = default;

Index NetworkActor::observation_size() const noexcept { return network_->layers.front().inputs; }
Index NetworkActor::outputs() const noexcept { return network_->layers.back().outputs; }

void NetworkActor::act(const double* observation, const double* noise, double* noisy) noexcept {
  const auto& layers = network_->layers;
  const double* x = observation;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const PaddedLayer<double>& layer = layers[l];
    double* y = network_->values[l % 2].data();
    const bool sine = l == 0 && network_->sine_features, last = l + 1 == layers.size();
    network_->kernels->dense_layer(1, layer.inputs, layer.entries, x, layer.inputs, layer.weights.data(),
                                   layer.bias.data(), !sine && !last, y, layer.entries);
    if (sine) {
      for (Index k = 0; k < layer.outputs; ++k) y[k] = std::sin(y[k]);
    }
    x = y;
  }
  for (Index k = 0; k < outputs(); ++k) noisy[k] = x[k] + noise[k];
}

}  // namespace fastfisher
