// NumPy arrays cross the boundary as views without copies in one direction, as moved vectors in the other.
//
// This is the only header of the bindings that includes pybind11.  pybind11's Eigen::Ref casters would copy C-ordered
// arrays silently; here an array is either viewed as it lies in memory or refused.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher::bindings {

namespace py = pybind11;

[[noreturn]] inline void refuse(const char* name, const std::string& expected, const py::array& got) {
  const auto shape = py::str(got.attr("shape")).cast<std::string>();
  const auto dtype = py::str(got.dtype()).cast<std::string>();
  throw py::value_error(std::string(name) + ": expected " + expected + ", got shape " + shape + " of " + dtype);
}

// Two axes are rows and columns; of three, the first two count rows.
template <class Scalar>
MatrixView<const Scalar> view_as(const py::array& array, const char* name) {
  constexpr auto size = static_cast<py::ssize_t>(sizeof(Scalar));
  // An axis of one entry has no stride that matters, and NumPy may report any.
  const auto stride = [&](int axis) -> py::ssize_t { return array.shape(axis) > 1 ? array.strides(axis) : size; };
  const auto address = reinterpret_cast<std::uintptr_t>(array.data());
  for (int axis = 0; axis < array.ndim(); ++axis) {
    if (stride(axis) % size != 0 || address % alignof(Scalar) != 0) refuse(name, "an aligned array", array);
  }
  const auto* data = static_cast<const Scalar*>(array.data());
  if (array.ndim() == 2) return {data, array.shape(0), array.shape(1), stride(0) / size, stride(1) / size};
  const Index repeats = array.shape(1);
  if (repeats > 1 && array.shape(0) > 1 && stride(0) != repeats * stride(1)) {
    refuse(name, "rows at equal distances", array);
  }
  const py::ssize_t step = repeats > 1 ? stride(1) : stride(0);
  return {data, array.shape(0) * repeats, array.shape(2), step / size, stride(2) / size};
}

using AnyMatrix = std::variant<MatrixView<const float>, MatrixView<const double>>;

// Views a matrix as it lies in memory.  The array must outlive the view.
inline AnyMatrix matrix_view(const py::array& array, const char* name, bool shares_rows = false) {
  if (array.ndim() != 2 && !(shares_rows && array.ndim() == 3)) refuse(name, "a two-dimensional array", array);
  if (array.dtype().equal(py::dtype::of<float>())) return view_as<float>(array, name);
  if (array.dtype().equal(py::dtype::of<double>())) return view_as<double>(array, name);
  refuse(name, "float32 or float64", array);
}

// Scores are an array, or a sequence of blocks, each an array or a pair (left, right) of one dtype, whose right side
// has three axes where m rows share one of the left side, (N, p) and (N, m, q).  The arrays must outlive the view.
inline ScoresView scores_view(const py::object& scores) {
  const auto dense = [](const py::array& array) {
    return std::visit([](const auto& view) -> BlockView { return view; }, matrix_view(array, "scores"));
  };
  if (py::isinstance<py::array>(scores)) return ScoresView({dense(scores)});
  std::vector<BlockView> blocks;
  for (const py::handle block : py::reinterpret_borrow<py::sequence>(scores)) {
    if (py::isinstance<py::array>(block)) {
      blocks.push_back(dense(py::reinterpret_borrow<py::array>(block)));
      continue;
    }
    const auto [left, right] = block.cast<std::pair<py::array, py::array>>();
    const AnyMatrix right_view = matrix_view(right, "scores", true);
    const Index repeats = right.ndim() == 3 ? right.shape(1) : 1;
    if (repeats < 1) refuse("scores", "at least one row for each of the left side", right);
    std::visit(
        [&]<class View>(const View& view) {
          if (!std::holds_alternative<View>(right_view)) refuse("scores", "a pair of one dtype", right);
          using Scalar = std::remove_pointer_t<decltype(view.data)>;
          blocks.push_back(PairView<Scalar>{view, std::get<View>(right_view), repeats});
        },
        matrix_view(left, "scores"));
  }
  return ScoresView(std::move(blocks));
}

// Every vector argument is contiguous doubles.
using Vector = py::array_t<double, py::array::c_style>;

inline const double* vector_data(const Vector& vector, Index size, const char* name) {
  if (vector.ndim() != 1 || vector.shape(0) != size) refuse(name, "shape (" + std::to_string(size) + ",)", vector);
  return vector.data();
}

inline const double* vector_data(const std::optional<Vector>& vector, Index size, const char* name) {
  return vector.has_value() ? vector_data(*vector, size, name) : nullptr;
}

// Hands a vector's memory to NumPy.
template <class Scalar>
py::array_t<Scalar> to_array(std::vector<Scalar>&& values) {
  auto owned = std::make_unique<std::vector<Scalar>>(std::move(values));
  const auto size = static_cast<py::ssize_t>(owned->size());
  Scalar* data = owned->data();
  py::capsule owner(owned.release(), [](void* memory) { delete static_cast<std::vector<Scalar>*>(memory); });
  return py::array_t<Scalar>(size, data, owner);
}

// Polls for Ctrl-C and other signals, while the calling thread works without the interpreter lock.  Python runs
// handlers on its main thread only; elsewhere the check does nothing.
inline Context interruptible(int threads) {
  return Context{threads, [] {
                   const py::gil_scoped_acquire lock;
                   if (PyErr_CheckSignals() != 0) throw py::error_already_set();
                 }};
}

}  // namespace fastfisher::bindings
