// Training spends its time in the loop over the steps of an episode, besides the environment.
#include <atomic>
#include <chrono>

#include "episode_actor.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

using Counter = py::array_t<std::int64_t, py::array::c_style>;

// Other processes read and write this number.
std::atomic_ref<std::int64_t> shared_number(const py::array& cell, const char* name) {
  if (!py::isinstance<Counter>(cell) || cell.size() != 1 || !cell.writeable()) {
    refuse(name, "a writable int64 array of one entry", cell);
  }
  return std::atomic_ref<std::int64_t>(*static_cast<std::int64_t*>(const_cast<void*>(cell.data())));
}

// A step returns observation, reward, terminated, truncated and info.
struct StepResult {
  py::object sequence;

  explicit StepResult(const py::object& result)
      : sequence(py::reinterpret_steal<py::object>(
            PySequence_Fast(result.ptr(), "env.step: expected observation, reward, terminated, truncated and info"))) {
    if (!sequence) throw py::error_already_set();
    const auto size = PySequence_Fast_GET_SIZE(sequence.ptr());
    if (size != 5) throw py::value_error("env.step: expected 5 results, got " + std::to_string(size));
  }

  py::handle operator[](Py_ssize_t i) const { return PySequence_Fast_GET_ITEM(sequence.ptr(), i); }

  double reward() const {
    const double value = PyFloat_AsDouble((*this)[1].ptr());
    if (value == -1.0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    return value;
  }

  bool flag(Py_ssize_t i) const {
    const int truth = PyObject_IsTrue((*this)[i].ptr());
    if (truth < 0) throw py::error_already_set();
    return truth != 0;
  }
};

py::tuple run_episode(const py::object& choose, const py::object& step, py::object observation,
                      const py::array& rewards, Index index, const py::array& length, const py::array& unwanted_from) {
  if (!py::isinstance<Vector>(rewards) || rewards.ndim() != 1 || rewards.size() == 0 || !rewards.writeable()) {
    refuse("rewards", "a writable float64 array of shape (T,), T at least 1", rewards);
  }
  auto* earned = static_cast<double*>(const_cast<void*>(rewards.data()));
  const Index steps = rewards.shape(0);
  const auto length_so_far = shared_number(length, "length");
  const auto first_unwanted = shared_number(unwanted_from, "unwanted_from");
  // An actor of the core is called without the interpreter's detour.
  auto* actor = py::isinstance<EpisodeActor>(choose) ? choose.cast<EpisodeActor*>() : nullptr;

  using Clock = std::chrono::steady_clock;
  Clock::duration inside{};
  bool terminated = false, truncated = false, wanted = true;
  Index t = 0;
  while (t < steps && wanted && !terminated && !truncated) {
    const py::object action =
        actor != nullptr ? actor->choose(t, py::cast<Observation>(observation)) : choose(t, observation);
    const Clock::time_point start = Clock::now();
    const py::object returned = step(action);
    inside += Clock::now() - start;
    const StepResult result(returned);
    observation = py::reinterpret_borrow<py::object>(result[0]);
    earned[t++] = result.reward();
    terminated = result.flag(2);
    truncated = result.flag(3);
    length_so_far.store(t, std::memory_order_relaxed);
    wanted = first_unwanted.load(std::memory_order_relaxed) > index;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
  return py::make_tuple(wanted || terminated || truncated || t == steps, t, terminated, observation,
                        std::chrono::duration<double>(inside).count());
}

}  // namespace

void register_episode(py::module_& module) {
  module.def("run_episode", &run_episode, py::arg("choose"), py::arg("step"), py::arg("observation"),
             py::arg("rewards"), py::arg("index"), py::arg("length"), py::arg("unwanted_from"));
}

}  // namespace fastfisher::bindings
