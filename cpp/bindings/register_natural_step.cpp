#include "fastfisher/fisher.hpp"
#include "fastfisher/natural_step.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

// Returns the one of `all` that is called `text`.
template <class Choice>
Choice named(const char* argument, std::span<const Choice> all, const std::string& text) {
  std::string expected;
  for (std::size_t k = 0; k < all.size(); ++k) {
    if (text == name(all[k])) return all[k];
    expected += (k == 0 ? "'" : k + 1 == all.size() ? " or '" : ", '") + std::string(name(all[k])) + "'";
  }
  throw py::value_error(std::string(argument) + ": expected " + expected + ", got '" + text + "'");
}

Solver solver_named(const std::string& text) { return named("solver", solvers(), text); }
Precision precision_named(const std::string& text) { return named("precision", precisions(), text); }

template <class Choice>
py::tuple names_of(std::span<const Choice> all) {
  py::list names;
  for (const Choice choice : all) names.append(std::string(name(choice)));
  return py::tuple(names);
}

// fastfisher.natural.Event is made from such a tuple, (code, solver, {name: number}, sentence).
py::tuple to_tuple(const Event& event, const std::string& note) {
  py::dict numbers;
  const auto& names = number_names(event.code);
  for (std::size_t k = 0; k < event.numbers.size(); ++k) numbers[py::str(std::string(names[k]))] = event.numbers[k];
  return py::make_tuple(std::string(name(event.code)), std::string(name(event.solver)), numbers, note);
}

py::dict fields_of(NaturalStep&& result) {
  using namespace py::literals;
  py::list events;
  for (std::size_t k = 0; k < result.events.size(); ++k) {
    events.append(to_tuple(result.events[k], result.notes[k]));
  }
  py::dict fields("step"_a = to_array(std::move(result.step)), "direction"_a = to_array(std::move(result.direction)),
                  "gradient"_a = to_array(std::move(result.gradient)), "step_size"_a = result.step_size,
                  "predicted_kl"_a = result.predicted_kl, "predicted_improvement"_a = result.predicted_improvement,
                  "solver"_a = std::string(name(result.solver)), "precision"_a = std::string(name(result.precision)),
                  "damping"_a = result.damping, "iterations"_a = result.iterations, "residual"_a = result.residual,
                  "sample_weights"_a = py::none(), "events"_a = events);
  if (!result.sample_weights.empty()) fields["sample_weights"] = to_array(std::move(result.sample_weights));
  return fields;
}

py::list to_list(std::vector<NaturalStep>&& results) {
  py::list steps;
  for (NaturalStep& result : results) steps.append(fields_of(std::move(result)));
  return steps;
}

// Takes one step for each damping.
py::list py_natural_steps(const py::object& scores, const std::optional<Vector>& advantages,
                          const std::optional<Vector>& gradient, const std::optional<Vector>& weights,
                          std::optional<double> count, bool center, const std::vector<double>& dampings,
                          bool relative_damping, std::optional<double> max_kl, const std::string& solver,
                          const std::string& precision, double tolerance, std::optional<Index> max_iterations,
                          const std::optional<Vector>& initial, double momentum, const std::optional<Vector>& previous,
                          bool precondition, bool sample_weights, std::optional<double> memory_limit, int threads) {
  Batch batch;
  batch.scores = scores_view(scores);
  const Index n = rows(batch.scores);
  const Index d = columns(batch.scores);
  batch.advantages = vector_data(advantages, n, "advantages");
  batch.gradient = vector_data(gradient, d, "gradient");
  batch.weights = vector_data(weights, n, "weights");
  batch.count = count;
  batch.center = center;
  batch.momentum = momentum;
  batch.previous = vector_data(previous, d, "previous");
  StepOptions options;
  options.relative_damping = relative_damping;
  options.max_kl = max_kl;
  options.solver = solver_named(solver);
  options.precision = precision_named(precision);
  options.tolerance = tolerance;
  options.max_iterations = max_iterations;
  options.initial = vector_data(initial, d, "initial");
  options.precondition = precondition;
  options.sample_weights = sample_weights;
  options.memory_limit = memory_limit;

  std::vector<NaturalStep> results;
  {
    const py::gil_scoped_release unlocked;
    if (dampings.size() == 1) {  // without a copy of the matrix for the next
      options.damping = dampings.front();
      results.push_back(natural_step(batch, options, interruptible(threads)));
    } else {
      results = natural_steps(batch, dampings, options, interruptible(threads));
    }
  }
  return to_list(std::move(results));
}

// Computes F x for each direction, by a function of the caller's that reads the rows again: (k, d) -> (k, d), or where
// it cannot, (rows that came, rows of the first pass).  It is none where the rows can be read but once.
std::optional<Event> multiply_by(const py::object& read_again, const std::vector<std::vector<double>>& directions,
                                 std::vector<std::vector<double>>& products) {
  const py::gil_scoped_acquire locked;
  if (read_again.is_none()) return Event{EventCode::residual_of_matrix, Solver::cholesky};
  py::list arrays;
  for (const std::vector<double>& direction : directions) arrays.append(to_array(std::vector<double>(direction)));
  const py::object answer = read_again(arrays);
  if (py::isinstance<py::tuple>(answer)) {
    const auto rows = answer.cast<std::pair<double, double>>();
    return Event{EventCode::second_pass_changed, Solver::cholesky, {rows.first, rows.second}};
  }
  const auto arrays_out = answer.cast<std::vector<Vector>>();
  for (std::size_t k = 0; k < products.size(); ++k) {
    const auto size = static_cast<Index>(products[k].size());
    const double* data = vector_data(arrays_out.at(k), size, "products");
    products[k].assign(data, data + size);
  }
  return std::nullopt;
}

// Takes one step for each damping, of sums.
py::list py_accumulated_steps(const Fisher& fisher, const Vector& gradient, std::optional<double> count,
                              const std::vector<double>& dampings, bool relative_damping, std::optional<double> max_kl,
                              const std::string& solver, double tolerance, std::optional<Index> max_iterations,
                              double momentum, const std::optional<Vector>& previous,
                              std::optional<double> memory_limit, std::optional<double> norm_advantages,
                              const py::object& read_again, int threads) {
  AccumulatedBatch batch;
  batch.fisher = &fisher;
  batch.gradient = vector_data(gradient, fisher.dimension(), "gradient");
  batch.count = count;
  batch.momentum = momentum;
  batch.previous = vector_data(previous, fisher.dimension(), "previous");
  batch.norm_advantages = norm_advantages;
  batch.multiply = [&read_again](const auto& directions, auto& products) {
    return multiply_by(read_again, directions, products);
  };
  StepOptions options;
  options.relative_damping = relative_damping;
  options.max_kl = max_kl;
  options.solver = solver_named(solver);
  options.tolerance = tolerance;
  options.max_iterations = max_iterations;
  options.memory_limit = memory_limit;
  std::vector<NaturalStep> results;
  {
    const py::gil_scoped_release unlocked;
    results = natural_steps(batch, dampings, options, interruptible(threads));
  }
  return to_list(std::move(results));
}

// Returns what the model behind solver="auto" expects; the advantages do not matter to it.
py::dict py_predicted_costs(const py::object& scores, double damping, bool relative_damping,
                            const std::string& precision, std::optional<double> memory_limit, int threads) {
  using namespace py::literals;
  Batch batch;
  batch.scores = scores_view(scores);
  const std::vector<double> advantages(static_cast<std::size_t>(rows(batch.scores)), 1.0);
  batch.advantages = advantages.data();
  StepOptions options;
  options.damping = damping;
  options.relative_damping = relative_damping;
  options.precision = precision_named(precision);
  options.memory_limit = memory_limit;
  PredictedCosts costs;
  {
    const py::gil_scoped_release unlocked;
    costs = predicted_costs(batch, options, interruptible(threads));
  }
  return py::dict("cholesky"_a = costs.cholesky, "gram"_a = costs.gram, "cg_setup"_a = costs.cg_setup,
                  "cg_iteration"_a = costs.cg_iteration, "cg_iterations"_a = costs.cg_iterations,
                  "choice"_a = std::string(name(costs.choice)));
}

}  // namespace

void register_natural_step(py::module_& module) {
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const NotPositiveDefinite& error) {
      py::set_error(py::module_::import("numpy.linalg").attr("LinAlgError"), error.what());
    } catch (const MemoryLimitExceeded& error) {
      py::set_error(PyExc_MemoryError, error.what());
    }
  });
  module.def("natural_steps", &py_natural_steps, py::arg("scores"), py::arg("advantages"), py::arg("gradient"),
             py::arg("weights"), py::arg("count"), py::arg("center"), py::arg("dampings"), py::arg("relative_damping"),
             py::arg("max_kl"), py::arg("solver"), py::arg("precision"), py::arg("tol"), py::arg("max_iterations"),
             py::arg("initial"), py::arg("momentum"), py::arg("previous"), py::arg("precondition"),
             py::arg("sample_weights"), py::arg("memory_limit"), py::arg("threads"));
  module.def("accumulated_steps", &py_accumulated_steps, py::arg("fisher"), py::arg("gradient"), py::arg("count"),
             py::arg("dampings"), py::arg("relative_damping"), py::arg("max_kl"), py::arg("solver"), py::arg("tol"),
             py::arg("max_iterations"), py::arg("momentum"), py::arg("previous"), py::arg("memory_limit"),
             py::arg("norm_advantages"), py::arg("read_again"), py::arg("threads"));
  module.attr("solver_names") = names_of(solvers());
  module.attr("precision_names") = names_of(precisions());
  module.def("predicted_costs", &py_predicted_costs, py::arg("scores"), py::arg("damping"),
             py::arg("relative_damping") = false, py::arg("precision") = "auto", py::arg("memory_limit") = py::none(),
             py::arg("threads") = 0);
}

}  // namespace fastfisher::bindings
