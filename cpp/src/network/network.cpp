#include "fastfisher/network.hpp"

#include <algorithm>

#include "kernels/kernel_table.hpp"
#include "network/padded_layer.hpp"
#include "runtime/buffer.hpp"
#include "runtime/thread_pool.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;
using detail::PaddedLayer;

// So many rows go through all layers together: their activations stay in the second-level cache.
constexpr Index panel_rows = 128;

template <class Real>
std::vector<PaddedLayer<Real>> padded(const std::vector<LayerWeights>& layers, bool transposed, Index lanes) {
  std::vector<PaddedLayer<Real>> result;
  result.reserve(layers.size());
  for (const LayerWeights& layer : layers) result.emplace_back(layer, transposed, lanes);
  return result;
}

template <class Real>
Index widest(const std::vector<PaddedLayer<Real>>& layers) {
  Index width = 0;
  for (const auto& layer : layers) width = std::max({width, layer.entries, layer.inputs});
  return width;
}

// Runs the panels as tasks on threads; `body(first row, rows, scratch)` has `values` of scratch memory.
template <class Real, class Body>
void for_panels(const Context& context, Index rows, Index values, const Body& body) {
  const Index panels = ceil_divide(rows, panel_rows);
  const int threads = static_cast<int>(std::min<Index>(detail::thread_count(context), std::max<Index>(1, panels / 4)));
  const Index own = ceil_divide(values, 16) * 16;
  Buffer<Real> scratch(own * threads);
  detail::parallel_for(context, threads, panels, [&](Index panel, int worker) {
    const Index first = panel * panel_rows;
    body(first, std::min(panel_rows, rows - first), scratch.data() + worker * own);
  });
}

}  // namespace

template <class Real>
void network_forward(const MatrixView<const double>& features, const std::vector<LayerWeights>& layers,
                     const std::vector<Real*>& inputs, Real* output, const Context& context) {
  const auto& kernel = detail::kernels().real<Real>();
  const auto matrices = padded<Real>(layers, false, kernel.lanes);
  const Index width = widest(matrices);
  for_panels<Real>(context, features.rows, panel_rows * width, [&](Index first, Index rows, Real* values) {
    for (std::size_t l = 0; l < matrices.size(); ++l) {
      const PaddedLayer<Real>& layer = matrices[l];
      const Index stride = layer.inputs + 1;
      Real* x = inputs[l] + first * stride;
      for (Index n = 0; n < rows; ++n) {  // the features, or what the layer before left in `values`
        Real* row = x + n * stride;
        if (l == 0) {
          for (Index k = 0; k < layer.inputs; ++k) row[k] = static_cast<Real>(features(first + n, k));
        } else {
          std::copy_n(values + n * matrices[l - 1].entries, layer.inputs, row);
        }
        row[layer.inputs] = Real(1);
      }
      const bool last = l + 1 == matrices.size();
      kernel.dense_layer(rows, layer.inputs, layer.entries, x, stride, layer.weights.data(), layer.bias.data(), !last,
                         values, layer.entries);
      if (!last) continue;
      for (Index n = 0; n < rows; ++n) {
        std::copy_n(values + n * layer.entries, layer.outputs, output + (first + n) * layer.outputs);
      }
    }
  });
}

template <class Real>
void network_backward(Index rows, Index repeats, const std::vector<LayerWeights>& layers,
                      const std::vector<const Real*>& inputs, const std::vector<Real*>& errors,
                      const Context& context) {
  const auto& kernel = detail::kernels().real<Real>();
  const auto matrices = padded<Real>(layers, true, kernel.lanes);
  const Index width = widest(matrices);
  for_panels<Real>(context, rows * repeats, panel_rows * width, [&](Index first, Index count, Real* values) {
    for (std::size_t l = matrices.size(); l-- > 1;) {
      const PaddedLayer<Real>& layer = matrices[l];  // maps E_l, (N, q_l), to d / d X_l, (N, p_l)
      kernel.dense_layer(count, layer.inputs, layer.entries, errors[l] + first * layer.inputs, layer.inputs,
                         layer.weights.data(), nullptr, false, values, layer.entries);
      for (Index n = 0; n < count; ++n) {
        Real* error = values + n * layer.entries;
        kernel.through_tanh(layer.outputs, inputs[l] + (first + n) / repeats * (layer.outputs + 1), error);
        std::copy_n(error, layer.outputs, errors[l - 1] + (first + n) * layer.outputs);
      }
    }
  });
}

template void network_forward<float>(const MatrixView<const double>&, const std::vector<LayerWeights>&,
                                     const std::vector<float*>&, float*, const Context&);
template void network_forward<double>(const MatrixView<const double>&, const std::vector<LayerWeights>&,
                                      const std::vector<double*>&, double*, const Context&);
template void network_backward<float>(Index, Index, const std::vector<LayerWeights>&, const std::vector<const float*>&,
                                      const std::vector<float*>&, const Context&);
template void network_backward<double>(Index, Index, const std::vector<LayerWeights>&,
                                       const std::vector<const double*>&, const std::vector<double*>&, const Context&);

}  // namespace fastfisher
