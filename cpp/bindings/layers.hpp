// The layers of a tanh network, as Python has them.
#pragma once

#include "fastfisher/network.hpp"
#include "ndarray.hpp"

namespace fastfisher::bindings {

using Matrix = py::array_t<double, py::array::c_style>;

// Returns views of the weights, (inputs + 1, outputs) each, that chain from layer to layer.
inline std::vector<LayerWeights> layers_of(const std::vector<Matrix>& weights) {
  std::vector<LayerWeights> layers;
  for (const Matrix& w : weights) {
    if (w.ndim() != 2 || w.shape(0) < 1) refuse("weights", "matrices of shape (inputs + 1, outputs)", w);
    if (!layers.empty() && w.shape(0) != layers.back().outputs + 1) {
      refuse("weights", std::to_string(layers.back().outputs + 1) + " rows", w);
    }
    layers.push_back({w.data(), w.shape(0) - 1, w.shape(1)});
  }
  if (layers.empty()) throw py::value_error("weights: expected at least one layer, got none");
  return layers;
}

}  // namespace fastfisher::bindings
