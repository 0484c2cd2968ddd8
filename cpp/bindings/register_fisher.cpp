#include "fastfisher/fisher.hpp"
#include "ndarray.hpp"
#include "pickling.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

// Every method gives up the interpreter lock before it takes the object's own: never the other way round.

void update(Fisher& self, const py::object& scores, const std::optional<Vector>& weights, int threads) {
  const ScoresView view = scores_view(scores);
  const double* w = vector_data(weights, rows(view), "weights");
  const py::gil_scoped_release unlocked;
  self.update(view, w, interruptible(threads));
}

py::array_t<double> matrix(const Fisher& self) {
  py::array_t<double> result({self.dimension(), self.dimension()});
  double* data = result.mutable_data();
  const py::gil_scoped_release unlocked;
  self.matrix(data);
  return result;
}

py::array_t<double> multiply(const Fisher& self, const Vector& v, int threads) {
  const double* in = vector_data(v, self.dimension(), "v");
  std::vector<double> out(static_cast<std::size_t>(self.dimension()));
  {
    const py::gil_scoped_release unlocked;
    self.multiply(in, out.data(), interruptible(threads));
  }
  return to_array(std::move(out));
}

// Solves for (k, d), a right-hand side a row.
py::array_t<double> solve(const Fisher& self, const Vector& rhs, double damping, int threads) {
  if (rhs.ndim() != 2 || rhs.shape(1) != self.dimension()) {
    refuse("rhs", "shape (k, " + std::to_string(self.dimension()) + ")", rhs);
  }
  const Index count = rhs.shape(0);
  py::array_t<double> result({count, self.dimension()});
  double* x = result.mutable_data();
  std::copy_n(rhs.data(), rhs.size(), x);
  const py::gil_scoped_release unlocked;
  self.solve(x, count, damping, interruptible(threads));
  return result;
}

py::tuple get_state(const Fisher& self) {
  std::vector<double> sum;
  Index count = 0;
  double total_weight = 0.0;
  {
    const py::gil_scoped_release unlocked;
    const Fisher copy(self);  // one consistent moment
    sum = copy.sum();
    count = copy.count();
    total_weight = copy.total_weight();
  }
  return py::make_tuple(self.dimension(), to_array(std::move(sum)), count, total_weight);
}

Fisher set_state_checked(const py::tuple& state) {
  if (state.size() != 4) throw py::value_error("not the state of a Fisher");
  Fisher fisher(state[0].cast<Index>());
  const auto sum = state[1].cast<Vector>();
  fisher.restore(vector_data(sum, fisher.dimension() * fisher.dimension(), "sum"), state[2].cast<Index>(),
                 state[3].cast<double>());
  return fisher;
}

}  // namespace

void register_fisher(py::module_& module) {
  using Unlocked = py::call_guard<py::gil_scoped_release>;
  const auto threads = py::arg("threads") = 0;
  py::class_<Fisher>(module, "Fisher")
      .def(py::init<Index, std::optional<double>>(), py::arg("d"), py::arg("memory_limit") = py::none())
      .def(py::init<const Fisher&>(), py::arg("other"), Unlocked())
      .def_property_readonly("d", &Fisher::dimension)
      .def_property_readonly("count", py::cpp_function(&Fisher::count, Unlocked()))
      .def_property_readonly("total_weight", py::cpp_function(&Fisher::total_weight, Unlocked()))
      .def("update", &update, py::arg("scores"), py::arg("weights") = py::none(), threads)
      .def("merge", &Fisher::merge, py::arg("other"), Unlocked())
      .def("matrix", &matrix)
      .def("multiply", &multiply, py::arg("v"), threads)
      .def("solve", &solve, py::arg("rhs"), py::arg("damping"), threads)
      .def("trace", &Fisher::trace, Unlocked())
      .def(py::pickle(&get_state, &set_state_checked))
      .def("__reduce_ex__", &reduce, py::arg("protocol"));
}

}  // namespace fastfisher::bindings
