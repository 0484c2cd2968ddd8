// A padded layer is a layer's matrix as the kernel wants it.
#pragma once

#include <algorithm>

#include "fastfisher/network.hpp"
#include "kernels/packed_operand.hpp"
#include "runtime/buffer.hpp"

namespace fastfisher::detail {

// Its rows are padded with zeros to whole packets; backwards, it is transposed and without the biases.
template <class Real>
struct PaddedLayer {
  Index inputs, outputs, entries;
  Buffer<Real> weights, bias;

  PaddedLayer(const LayerWeights& layer, bool transposed, Index lanes)
      : inputs(transposed ? layer.outputs : layer.inputs),
        outputs(transposed ? layer.inputs : layer.outputs),
        entries(ceil_divide(outputs, lanes) * lanes),
        weights(inputs * entries),
        bias(entries) {
    std::fill_n(weights.data(), inputs * entries, Real(0));
    std::fill_n(bias.data(), entries, Real(0));
    for (Index i = 0; i < layer.inputs; ++i) {
      for (Index j = 0; j < layer.outputs; ++j) {
        const auto value = static_cast<Real>(layer.weights[i * layer.outputs + j]);
        weights[transposed ? j * entries + i : i * entries + j] = value;
      }
    }
    if (transposed) return;
    for (Index j = 0; j < layer.outputs; ++j) {
      bias[j] = static_cast<Real>(layer.weights[layer.inputs * layer.outputs + j]);
    }
  }
};

}  // namespace fastfisher::detail
