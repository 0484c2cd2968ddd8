// These are the passes of a tanh network; see fastfisher/network.hpp for the layout.
#include "fastfisher/network.hpp"
#include "layers.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

template <class Real>
py::tuple forward(const MatrixView<const double>& features, const std::vector<LayerWeights>& layers, int threads) {
  py::list inputs;
  std::vector<Real*> input_data;
  for (const LayerWeights& layer : layers) {
    py::array_t<Real> x({features.rows, layer.inputs + 1});
    input_data.push_back(x.mutable_data());
    inputs.append(std::move(x));
  }
  py::array_t<Real> output({features.rows, layers.back().outputs});
  Real* output_data = output.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    network_forward<Real>(features, layers, input_data, output_data, interruptible(threads));
  }
  return py::make_tuple(std::move(inputs), std::move(output));
}

py::tuple py_network_forward(const py::array_t<double>& features, const std::vector<Matrix>& weights, bool single,
                             int threads) {
  const std::vector<LayerWeights> layers = layers_of(weights);
  if (features.ndim() != 2 || features.shape(1) != layers.front().inputs) {
    refuse("features", "shape (N, " + std::to_string(layers.front().inputs) + ")", features);
  }
  const auto view = view_as<double>(features, "features");
  return single ? forward<float>(view, layers, threads) : forward<double>(view, layers, threads);
}

template <class Real>
using Contiguous = py::array_t<Real, py::array::c_style>;

template <class Real>
py::list py_network_backward(const std::vector<Matrix>& weights, const std::vector<Contiguous<Real>>& inputs,
                             const Contiguous<Real>& last, int threads) {
  const std::vector<LayerWeights> layers = layers_of(weights);
  const bool several = last.ndim() == 3;  // rows of errors for each of the inputs
  const Index rows = last.ndim() == 2 || several ? last.shape(0) : -1;
  if (rows < 0 || last.shape(last.ndim() - 1) != layers.back().outputs) {
    const std::string outputs = std::to_string(layers.back().outputs);
    refuse("errors", "shape (N, " + outputs + ") or (N, m, " + outputs + ")", last);
  }
  const Index repeats = several ? last.shape(1) : 1;
  if (inputs.size() != layers.size()) throw py::value_error("inputs: expected one array a layer");
  std::vector<const Real*> input_data;
  std::vector<Real*> error_data;
  py::list errors;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (inputs[l].ndim() != 2 || inputs[l].shape(0) != rows || inputs[l].shape(1) != layers[l].inputs + 1) {
      refuse("inputs", "shape (" + std::to_string(rows) + ", " + std::to_string(layers[l].inputs + 1) + ")", inputs[l]);
    }
    input_data.push_back(inputs[l].data());
    std::vector<py::ssize_t> shape(last.shape(), last.shape() + last.ndim());
    shape.back() = layers[l].outputs;
    py::array_t<Real> error(shape);
    error_data.push_back(error.mutable_data());
    errors.append(std::move(error));
  }
  std::copy_n(last.data(), last.size(), error_data.back());
  {
    const py::gil_scoped_release unlocked;
    network_backward<Real>(rows, repeats, layers, input_data, error_data, interruptible(threads));
  }
  return errors;
}

}  // namespace

void register_network(py::module_& module) {
  const auto threads = py::arg("threads") = 0;
  module.def("network_forward", &py_network_forward, py::arg("features"), py::arg("weights"), py::arg("single") = false,
             threads);
  module.def("network_backward", &py_network_backward<float>, py::arg("weights"), py::arg("inputs").noconvert(),
             py::arg("errors").noconvert(), threads);
  module.def("network_backward", &py_network_backward<double>, py::arg("weights"), py::arg("inputs"), py::arg("errors"),
             threads);
}

}  // namespace fastfisher::bindings
