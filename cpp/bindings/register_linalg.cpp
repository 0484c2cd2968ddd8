// Tests and benchmarks take the kernels one by one: each has its definition in fastfisher/reference.py.
#include <algorithm>

#include "fastfisher/linalg.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

template <class Real>
py::array_t<Real> square_matrix(Index n) {
  return py::array_t<Real>({n, n});
}

// Calls function.operator()<float> or <double>, by precision.
template <class Function>
py::array in_precision(const std::string& precision, const Function& function) {
  if (precision == "single") return function.template operator()<float>();
  if (precision == "double") return function.template operator()<double>();
  throw py::value_error("precision: expected 'single' or 'double', got '" + precision + "'");
}

template <class Real>
std::vector<Real> converted(const Vector& values, Index size, const char* name) {
  const double* data = vector_data(values, size, name);
  return {data, data + size};
}

py::array py_fisher_product(const py::object& scores, const std::optional<Vector>& weights,
                            const std::string& precision, int threads) {
  const ScoresView view = scores_view(scores);
  const double* w = vector_data(weights, rows(view), "weights");
  return in_precision(precision, [&]<class Real>() {
    const Index d = columns(view);
    auto result = square_matrix<Real>(d);
    Real* data = result.mutable_data();
    const py::gil_scoped_release unlocked;
    fisher_product<Real>(view, w, Update::assign, data, interruptible(threads));
    mirror_lower<Real>(d, data, Real(1), interruptible(threads));
    return result;
  });
}

py::array py_gram_product(const py::object& scores, const std::optional<Vector>& weights, const std::string& precision,
                          int threads) {
  const ScoresView view = scores_view(scores);
  const double* w = vector_data(weights, rows(view), "weights");
  return in_precision(precision, [&]<class Real>() {
    const Index n = rows(view);
    auto result = square_matrix<Real>(n);
    Real* data = result.mutable_data();
    const py::gil_scoped_release unlocked;
    gram_product<Real>(view, w, data, interruptible(threads));
    mirror_lower<Real>(n, data, Real(1), interruptible(threads));
    return result;
  });
}

py::array py_matvec(const py::object& scores, const Vector& v, const std::string& precision, int threads) {
  const ScoresView view = scores_view(scores);
  return in_precision(precision, [&]<class Real>() {
    const std::vector<Real> in = converted<Real>(v, columns(view), "v");
    std::vector<Real> out(static_cast<std::size_t>(rows(view)));
    {
      const py::gil_scoped_release unlocked;
      matvec<Real>(view, in.data(), out.data(), interruptible(threads));
    }
    return to_array(std::move(out));
  });
}

py::array py_rmatvec(const py::object& scores, const Vector& u, const std::string& precision, int threads) {
  const ScoresView view = scores_view(scores);
  return in_precision(precision, [&]<class Real>() {
    const std::vector<Real> in = converted<Real>(u, rows(view), "u");
    std::vector<Real> out(static_cast<std::size_t>(columns(view)));
    {
      const py::gil_scoped_release unlocked;
      rmatvec<Real>(view, in.data(), out.data(), interruptible(threads));
    }
    return to_array(std::move(out));
  });
}

py::array py_fisher_matvec(const py::object& scores, const Vector& v, const std::optional<Vector>& weights,
                           const std::string& precision, int threads) {
  const ScoresView view = scores_view(scores);
  return in_precision(precision, [&]<class Real>() {
    const std::vector<Real> in = converted<Real>(v, columns(view), "v");
    std::vector<Real> w;
    if (weights.has_value()) w = converted<Real>(*weights, rows(view), "weights");
    std::vector<Real> out(static_cast<std::size_t>(columns(view)));
    {
      const py::gil_scoped_release unlocked;
      fisher_matvec<Real>(view, weights.has_value() ? w.data() : nullptr, in.data(), nullptr, out.data(),
                          interruptible(threads));
    }
    return to_array(std::move(out));
  });
}

py::array py_to_dense(const py::object& scores, const std::string& precision, int threads) {
  const ScoresView view = scores_view(scores);
  return in_precision(precision, [&]<class Real>() {
    py::array_t<Real> result({rows(view), columns(view)});
    Real* data = result.mutable_data();
    const py::gil_scoped_release unlocked;
    to_dense<Real>(view, data, interruptible(threads));
    return result;
  });
}

py::array_t<double> py_square_norms(const py::object& scores, int threads) {
  const ScoresView view = scores_view(scores);
  std::vector<double> norms(static_cast<std::size_t>(rows(view)));
  {
    const py::gil_scoped_release unlocked;
    square_norms(view, norms.data(), interruptible(threads));
  }
  return to_array(std::move(norms));
}

py::tuple py_column_moments(const py::array_t<double>& matrix) {
  if (matrix.ndim() != 2) refuse("matrix", "a two-dimensional array", matrix);
  const auto view = view_as<double>(matrix, "matrix");
  std::vector<double> means(static_cast<std::size_t>(view.columns)), sum_squares(means.size());
  {
    const py::gil_scoped_release unlocked;
    column_moments(view, means.data(), sum_squares.data());
  }
  return py::make_tuple(to_array(std::move(means)), to_array(std::move(sum_squares)));
}

Index py_first_nonfinite_row(const py::object& scores, int threads) {
  const ScoresView view = scores_view(scores);
  const py::gil_scoped_release unlocked;
  return first_nonfinite_row(view, interruptible(threads));
}

// Copies the lower triangle of `a`, of any layout, into a column-major matrix, by blocks that stay in the cache.
template <class Real>
void copy_lower(const MatrixView<const Real>& a, Real* lower, const Context& context) {
  constexpr Index block = 64;
  const Index n = a.rows;
  for (Index first_row = 0; first_row < n; first_row += block) {
    context.poll();
    const Index last_row = std::min(first_row + block, n);
    for (Index first_column = 0; first_column < last_row; first_column += block) {
      for (Index i = first_row; i < last_row; ++i) {
        for (Index j = first_column; j < std::min(first_column + block, i + 1); ++j) lower[i + j * n] = a(i, j);
      }
    }
  }
}

// The factor comes back as a new C-ordered array, whose upper triangle is zero.
py::array py_cholesky(const py::array& matrix, int threads) {
  const AnyMatrix view = matrix_view(matrix, "matrix");
  const Index n = matrix.shape(0);
  if (matrix.shape(1) != n) refuse("matrix", "a square array", matrix);
  return std::visit(
      [&]<class Real>(const MatrixView<const Real>& a) -> py::array {
        auto result = square_matrix<Real>(n);
        Real* factor = result.mutable_data();
        Index failed = -1;
        const Context context = interruptible(threads);
        {
          const py::gil_scoped_release unlocked;
          copy_lower(a, factor, context);
          failed = cholesky<Real>(n, factor, context);
          for (Index j = 0; j < n; ++j) {
            for (Index i = j; i < n; ++i) {
              factor[j + i * n] = factor[i + j * n];  // the lower triangle in C order
              if (i != j) factor[i + j * n] = Real(0);
            }
          }
        }
        if (failed >= 0) {
          PyErr_SetString(py::module_::import("numpy.linalg").attr("LinAlgError").ptr(),
                          ("matrix is not positive definite: pivot " + std::to_string(failed)).c_str());
          throw py::error_already_set();
        }
        return result;
      },
      view);
}

double py_measure_peak_flops(const std::string& precision, double seconds) {
  const py::gil_scoped_release unlocked;
  return precision == "single" ? measure_peak_flops<float>(seconds) : measure_peak_flops<double>(seconds);
}

}  // namespace

void register_linalg(py::module_& module) {
  const auto threads = py::arg("threads") = 0;
  const auto precision = py::arg("precision") = "double";
  const auto weights = py::arg("weights") = py::none();
  module.def("fisher_product", &py_fisher_product, py::arg("scores"), weights, precision, threads);
  module.def("gram_product", &py_gram_product, py::arg("scores"), weights, precision, threads);
  module.def("matvec", &py_matvec, py::arg("scores"), py::arg("v"), precision, threads);
  module.def("rmatvec", &py_rmatvec, py::arg("scores"), py::arg("u"), precision, threads);
  module.def("fisher_matvec", &py_fisher_matvec, py::arg("scores"), py::arg("v"), weights, precision, threads);
  module.def("to_dense", &py_to_dense, py::arg("scores"), precision, threads);
  module.def("square_norms", &py_square_norms, py::arg("scores"), threads);
  module.def("column_moments", &py_column_moments, py::arg("matrix"));
  module.def("first_nonfinite_row", &py_first_nonfinite_row, py::arg("scores"), threads);
  module.def("cholesky", &py_cholesky, py::arg("matrix"), threads);
  module.def("measure_peak_flops", &py_measure_peak_flops, precision, py::arg("seconds") = 0.2);
}

}  // namespace fastfisher::bindings
