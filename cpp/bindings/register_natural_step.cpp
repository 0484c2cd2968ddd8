#include "fastfisher/natural_step.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

Solver solver_named(const std::string& text) {
  for (const Solver solver :
       {Solver::automatic, Solver::cholesky, Solver::gram, Solver::conjugate_gradient, Solver::lsmr}) {
    if (text == name(solver)) return solver;
  }
  throw py::value_error("solver: expected 'auto', 'cholesky', 'gram', 'cg' or 'lsmr', got '" + text + "'");
}

Precision precision_named(const std::string& text) {
  for (const Precision precision :
       {Precision::automatic, Precision::single_precision, Precision::double_precision, Precision::mixed}) {
    if (text == name(precision)) return precision;
  }
  throw py::value_error("precision: expected 'auto', 'single', 'double' or 'mixed', got '" + text + "'");
}

py::dict fields_of(NaturalStep&& result) {
  using namespace py::literals;
  py::dict fields("step"_a = to_array(std::move(result.step)), "direction"_a = to_array(std::move(result.direction)),
                  "gradient"_a = to_array(std::move(result.gradient)), "step_size"_a = result.step_size,
                  "predicted_kl"_a = result.predicted_kl, "predicted_improvement"_a = result.predicted_improvement,
                  "solver"_a = std::string(name(result.solver)), "precision"_a = std::string(name(result.precision)),
                  "damping"_a = result.damping, "iterations"_a = result.iterations, "residual"_a = result.residual,
                  "sample_weights"_a = py::none(), "notes"_a = py::tuple(py::cast(result.notes)));
  if (!result.sample_weights.empty()) fields["sample_weights"] = to_array(std::move(result.sample_weights));
  return fields;
}

// One step for each damping.
py::list py_natural_steps(const py::object& scores, const std::optional<Vector>& advantages,
                          const std::optional<Vector>& gradient, const std::optional<Vector>& weights,
                          std::optional<double> count, bool center, const std::vector<double>& dampings,
                          bool relative_damping, std::optional<double> max_kl, const std::string& solver,
                          const std::string& precision, double tolerance, std::optional<Index> max_iterations,
                          const std::optional<Vector>& initial, double momentum, const std::optional<Vector>& previous,
                          bool precondition, std::optional<double> memory_limit, int threads) {
  Batch batch;
  batch.scores = scores_view(scores);
  const Index n = rows(batch.scores);
  const Index d = columns(batch.scores);
  batch.advantages = vector_data(advantages, n, "advantages");
  batch.gradient = vector_data(gradient, d, "gradient");
  batch.weights = vector_data(weights, n, "weights");
  batch.count = count;
  batch.centre = center;
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
  py::list steps;
  for (NaturalStep& result : results) steps.append(fields_of(std::move(result)));
  return steps;
}

// What the model behind solver="auto" expects; the advantages matter to neither.
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
             py::arg("memory_limit"), py::arg("threads"));
  module.def("predicted_costs", &py_predicted_costs, py::arg("scores"), py::arg("damping"),
             py::arg("relative_damping") = false, py::arg("precision") = "auto", py::arg("memory_limit") = py::none(),
             py::arg("threads") = 0);
}

}  // namespace fastfisher::bindings
