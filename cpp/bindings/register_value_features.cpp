// These are the features of the ridge baselines; see fastfisher/value_features.hpp.
#include "fastfisher/fisher.hpp"
#include "fastfisher/value_features.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

using Times = py::array_t<std::int64_t, py::array::c_style>;

// The arrays must outlive the features.
ValueFeatures features_of(const py::array_t<double>& observations, const Times& times, double time_unit,
                          const Vector& shift, const Vector& scale, bool products) {
  if (observations.ndim() != 2) refuse("observations", "a two-dimensional array", observations);
  ValueFeatures features;
  features.observations = view_as<double>(observations, "observations");
  if (times.ndim() != 1 || times.shape(0) != features.rows()) {
    refuse("times", "shape (" + std::to_string(features.rows()) + ",)", times);
  }
  features.times = times.data();
  features.time_unit = time_unit;
  features.shift = vector_data(shift, features.observations.columns, "shift");
  features.scale = vector_data(scale, features.observations.columns, "scale");
  features.products = products;
  return features;
}

// Returns sum x x^T as a Fisher, and sum x y.
py::tuple sums(const py::array_t<double>& observations, const Times& times, double time_unit, const Vector& shift,
               const Vector& scale, bool products, const Vector& targets, int threads) {
  const ValueFeatures features = features_of(observations, times, time_unit, shift, scale, products);
  const double* y = vector_data(targets, features.rows(), "targets");
  const Index d = features.columns();
  auto fisher = std::make_unique<Fisher>(d);
  std::vector<double> with_targets(static_cast<std::size_t>((d + 1) * (d + 1)));
  std::vector<double> sum(static_cast<std::size_t>(d * d));
  std::vector<double> of_targets(static_cast<std::size_t>(d));
  {
    const py::gil_scoped_release unlocked;
    regression_product(features, y, with_targets.data(), interruptible(threads));
    for (Index j = 0; j < d; ++j) {
      const double* column = with_targets.data() + j * (d + 1);
      std::copy(column + j, column + d, sum.data() + j * (d + 1));
      of_targets[static_cast<std::size_t>(j)] = column[d];
    }
    fisher->restore(sum.data(), features.rows(), static_cast<double>(features.rows()));
  }
  return py::make_tuple(std::move(fisher), to_array(std::move(of_targets)));
}

py::array_t<double> written(const py::array_t<double>& observations, const Times& times, double time_unit,
                            const Vector& shift, const Vector& scale, bool products, int threads) {
  const ValueFeatures features = features_of(observations, times, time_unit, shift, scale, products);
  py::array_t<double> result({features.rows(), features.columns()});
  double* rows = result.mutable_data();
  const py::gil_scoped_release unlocked;
  to_dense(features, rows, interruptible(threads));
  return result;
}

py::array_t<double> product(const py::array_t<double>& observations, const Times& times, double time_unit,
                            const Vector& shift, const Vector& scale, bool products, const Vector& coefficients,
                            int threads) {
  const ValueFeatures features = features_of(observations, times, time_unit, shift, scale, products);
  const double* v = vector_data(coefficients, features.columns(), "coefficients");
  std::vector<double> values(static_cast<std::size_t>(features.rows()));
  {
    const py::gil_scoped_release unlocked;
    matvec(features, v, values.data(), interruptible(threads));
  }
  return to_array(std::move(values));
}

}  // namespace

void register_value_features(py::module_& module) {
  const auto observations = py::arg("observations"), times = py::arg("times"), time_unit = py::arg("time_unit");
  const auto shift = py::arg("shift"), scale = py::arg("scale"), products = py::arg("products");
  const auto threads = py::arg("threads") = 0;
  module.def("value_features_sums", &sums, observations, times, time_unit, shift, scale, products, py::arg("targets"),
             threads);
  module.def("value_features_rows", &written, observations, times, time_unit, shift, scale, products, threads);
  module.def("value_features_matvec", &product, observations, times, time_unit, shift, scale, products,
             py::arg("coefficients"), threads);
}

}  // namespace fastfisher::bindings
