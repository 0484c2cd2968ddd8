// A tanh network is passed forward and backward over the rows of a batch, in the layout that scores want.
//
// Layer l maps inputs X_l, (N, p_l + 1) with a last column of ones, by weights W_l, (p_l + 1, q_l) in C order with the
// biases in the last row, to Z_l = X_l W_l; the next layer's inputs are tanh(Z_l), the last layer's Z_L is the output.
// With E_l = d log pi / d Z_l the block of scores of layer l is the pair (X_l, E_l): nothing is copied between.
#pragma once

#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher {

// A layer is W_l and its shape, biases included.
struct LayerWeights {
  const double* weights = nullptr;
  Index inputs = 0;   // p_l
  Index outputs = 0;  // q_l
};

// Writes inputs[l], (N, p_l + 1), and output, (N, q_L); features: (N, p_1).
template <class Real>
void network_forward(const MatrixView<const double>& features, const std::vector<LayerWeights>& layers,
                     const std::vector<Real*>& inputs, Real* output, const Context& context = {});

// Goes from errors[L - 1], (N m, q_L), which is read, down to errors[0], (N m, q_1): `repeats` m rows of errors, one
// after another, for each of the N rows of the inputs.
template <class Real>
void network_backward(Index rows, Index repeats, const std::vector<LayerWeights>& layers,
                      const std::vector<const Real*>& inputs, const std::vector<Real*>& errors,
                      const Context& context = {});

}  // namespace fastfisher
