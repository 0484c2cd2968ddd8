// Training spends its time in the loop over the steps of an episode, besides the environment.
#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string_view>

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

// What env.reset or env.step returned is none of what it has to be; the message says what was expected and what came.
struct MalformedStep : std::runtime_error {
  using std::runtime_error::runtime_error;
};

bool is_masked(const py::array& array) {
  // A look at the type, since NumPy's own function takes longer than a step.
  if (Py_TYPE(array.ptr()) == py::detail::npy_api::get().PyArray_Type_) return false;
  return py::module_::import("numpy.ma").attr("is_masked")(array).cast<bool>();
}

// Returns what came in a few words: the shape of an array, the beginning of anything else.
std::string in_words(py::handle came) {
  const auto type = py::str(py::type::handle_of(came).attr("__name__")).cast<std::string>();
  if (py::isinstance<py::array>(came)) {
    const auto array = py::reinterpret_borrow<py::array>(came);
    return (is_masked(array) ? "a masked array of shape " : "an array of shape ") +
           py::str(array.attr("shape")).cast<std::string>() + " and dtype " +
           py::str(array.dtype()).cast<std::string>();
  }
  constexpr std::size_t most = 60;
  const py::str line = py::str(" ").attr("join")(py::repr(came).attr("split")());
  const std::string ending = py::len(line) > most ? "..." : "";
  return line[py::slice(0, most, 1)].cast<std::string>() + ending + " (" + type + ")";
}

// Errors of a conversion say that the result is malformed; others, such as Ctrl-C, go on.
[[noreturn]] void refuse_result(const std::string& expected, py::handle came) {
  if (PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_Exception) == 0) throw py::error_already_set();
    PyErr_Clear();
  }
  throw MalformedStep("env.step: expected " + expected + ", got " + in_words(came));
}

// A step returns observation, reward, terminated, truncated and info.
struct StepResult {
  py::object sequence;

  explicit StepResult(const py::object& result)
      : sequence(py::reinterpret_steal<py::object>(PySequence_Fast(result.ptr(), ""))) {
    constexpr auto expected = "observation, reward, terminated, truncated and info";
    if (!sequence) refuse_result(expected, result);
    const auto size = PySequence_Fast_GET_SIZE(sequence.ptr());
    if (size != 5) {
      throw MalformedStep(std::string("env.step: expected 5 results, ") + expected + ", got " + std::to_string(size) +
                          (size == 4 ? ", as environments of the old gym return" : ""));
    }
  }

  py::handle operator[](Py_ssize_t i) const { return PySequence_Fast_GET_ITEM(sequence.ptr(), i); }

  double reward() const {
    const py::handle came = (*this)[1];
    // NumPy would drop an imaginary part.
    const double value = PyComplex_Check(came.ptr()) ? -1.0 : PyFloat_AsDouble(came.ptr());
    if (value == -1.0 && (PyErr_Occurred() != nullptr || PyComplex_Check(came.ptr()))) {
      refuse_result("a number as reward", came);
    }
    return value;
  }

  bool flag(Py_ssize_t i, const char* name) const {
    const py::handle value = (*this)[i];
    int truth = value.is_none() || PyUnicode_Check(value.ptr()) != 0 ? -1 : PyObject_IsTrue(value.ptr());
    if (truth > 0 && value.ptr() != Py_True && differs_from_itself(value)) truth = -1;
    if (truth < 0) refuse_result(std::string("True or False as ") + name, value);
    return truth != 0;
  }

 private:
  // Only a NaN does, which Python takes for true.
  static bool differs_from_itself(py::handle value) {
    const auto unequal = py::reinterpret_steal<py::object>(PyObject_RichCompare(value.ptr(), value.ptr(), Py_NE));
    return !unequal || PyObject_IsTrue(unequal.ptr()) != 0;
  }
};

// A conversion would take real parts alone, numbers out of text, and what is below a mask.
bool has_numbers(const py::object& observation) {
  if (!py::isinstance<py::array>(observation)) return true;  // of which the conversion itself takes only numbers
  const auto array = py::reinterpret_borrow<py::array>(observation);
  return std::string_view("cSUmM").find(array.dtype().kind()) == std::string_view::npos && !is_masked(array);
}

// The entries of a one-dimensional space's observation, which came of env.reset at step 0 and of env.step later.
Observation entries_of(const py::object& observation, Index size, Index t) {
  // The conversion leaves no error set.
  const auto entries = has_numbers(observation) ? Observation::ensure(observation) : Observation();
  if (!entries || entries.ndim() != 1 || entries.shape(0) != size) {
    throw MalformedStep((t == 0 ? "env.reset" : "env.step") + std::string(": expected an observation of shape (") +
                        std::to_string(size) + ",), got " + in_words(observation));
  }
  return entries;
}

// An exponent has all bits set.  Integers, unlike sums of doubles, are looked at several at a time.
bool has_nan_or_infinity(const Observation& entries) {
  constexpr std::uint64_t exponent = 0x7ff0000000000000;
  const double* values = entries.data();
  const Index size = entries.size();
  std::uint64_t found = 0;
  for (Index k = 0; k < size; ++k) {
    found |= static_cast<std::uint64_t>((std::bit_cast<std::uint64_t>(values[k]) & exponent) == exponent);
  }
  return found != 0;
}

std::string in_words(double value) { return py::str(py::float_(value)).cast<std::string>(); }

// Says which entry of an observation is not finite.
std::string defect_of(const Observation& entries) {
  const double* values = entries.data();
  const auto* wrong = std::find_if(values, values + entries.size(), [](double value) { return !std::isfinite(value); });
  return "an observation whose entry " + std::to_string(wrong - values) + " is " + in_words(*wrong);
}

py::tuple run_episode(const py::object& choose, const py::object& step, py::object observation,
                      const py::array& rewards, const py::array& final_observation, Index index,
                      const py::array& length, const py::array& unwanted_from) {
  const auto is_vector = [](const py::array& array) {
    return py::isinstance<Vector>(array) && array.ndim() == 1 && array.writeable();
  };
  if (!is_vector(rewards) || rewards.size() == 0) {
    refuse("rewards", "a writable float64 array of shape (T,), T at least 1", rewards);
  }
  if (!is_vector(final_observation)) {
    refuse("final_observation", "a writable float64 array of shape (D,)", final_observation);
  }
  auto* earned = static_cast<double*>(const_cast<void*>(rewards.data()));
  const Index steps = rewards.shape(0), size = final_observation.shape(0);
  const auto length_so_far = shared_number(length, "length");
  const auto first_unwanted = shared_number(unwanted_from, "unwanted_from");
  // An actor of the core is called without the interpreter's detour.
  auto* actor = py::isinstance<EpisodeActor>(choose) ? choose.cast<EpisodeActor*>() : nullptr;

  using Clock = std::chrono::steady_clock;
  Clock::duration inside{};
  bool terminated = false, truncated = false, wanted = true;
  Index t = 0;
  Observation entries = entries_of(observation, size, t);
  std::optional<std::string> defect;
  if (has_nan_or_infinity(entries)) defect = defect_of(entries);
  while (!defect && t < steps && wanted && !terminated && !truncated) {
    const py::object action = actor != nullptr ? actor->choose(t, entries) : choose(t, entries);
    const Clock::time_point start = Clock::now();
    const py::object returned = step(action);
    inside += Clock::now() - start;
    const StepResult result(returned);
    observation = py::reinterpret_borrow<py::object>(result[0]);
    const double reward = result.reward();
    terminated = result.flag(2, "terminated");
    truncated = result.flag(3, "truncated");
    if (!std::isfinite(reward)) {
      defect = "a reward of " + in_words(reward);
      break;
    }
    earned[t++] = reward;
    length_so_far.store(t, std::memory_order_relaxed);
    wanted = first_unwanted.load(std::memory_order_relaxed) > index;
    entries = entries_of(observation, size, t);
    // Where the task ended nobody asks what the last state is worth.
    if (!terminated && has_nan_or_infinity(entries)) defect = defect_of(entries);
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
  std::copy_n(entries.data(), size, static_cast<double*>(const_cast<void*>(final_observation.data())));
  return py::make_tuple(wanted || terminated || truncated || t == steps || defect, t, terminated,
                        std::chrono::duration<double>(inside).count(), defect);
}

void check_step(const py::object& returned) {
  const StepResult result(returned);
  static_cast<void>(result.reward());
  static_cast<void>(result.flag(2, "terminated"));
  static_cast<void>(result.flag(3, "truncated"));
}

}  // namespace

void register_episode(py::module_& module) {
  py::register_exception<MalformedStep>(module, "MalformedStepError", PyExc_ValueError);
  module.def("check_step", &check_step, py::arg("result"));
  module.def("run_episode", &run_episode, py::arg("choose"), py::arg("step"), py::arg("observation"),
             py::arg("rewards"), py::arg("final_observation"), py::arg("index"), py::arg("length"),
             py::arg("unwanted_from"));
}

}  // namespace fastfisher::bindings
