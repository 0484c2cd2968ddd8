#include "step/cost_model.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "runtime/control_group.hpp"
#include "scores/blocks.hpp"

namespace fastfisher::detail {
namespace {

// A matrix may take this share of the machine's memory: the caller's scores and environment need room too.
constexpr double memory_share = 0.4;

// Returns the machine's memory, or what the process's control group grants of it.
double machine_memory() {
  static const double memory = [] {
    const double pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
    const double page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
    return std::min(pages > 0.0 && page > 0.0 ? pages * page : 1e10, group_limits().memory);
  }();
  return memory;
}

double matrix_bytes(const SolveShape& shape, double side) { return side * side * (shape.narrow_factor ? 4.0 : 8.0); }

bool fits(const SolveShape& shape, double side) { return matrix_bytes(shape, side) <= memory_limit(shape); }

double side_of(const SolveShape& shape, Solver solver) {
  return solver == Solver::gram ? shape.samples : shape.parameters;
}

// Costs are operations of double precision at the speed of the matrix kernels; what is bound by memory or latency is
// charged as the operations that would have been done meanwhile.  The constants are fits to benchmarks/cost.py on two
// cores with AVX-512, at 1.3e11 operations a second.
constexpr double narrow_gain = 0.55;  // of single precision, with a share for what stays in double

double factor_cost(const SolveShape& shape, double side, double depth) {
  const bool narrow = shape.narrow_factor || (shape.mixed_likely && side >= 512.0);
  return (side * side * depth + side * side * side / 3.0) * (narrow ? narrow_gain : 1.0);
}

// One product with F costs a pass over the dense blocks, bound by memory; matrix products for a pair, but for a start
// of 7 ns a row; and the call, with threads or without.
double product_cost(const SolveShape& shape, double samples, bool narrow) {
  constexpr double operations_of_byte = 3.0, start_of_row = 900.0;
  constexpr double narrow_speed = 1.7, wide_speed = 0.9;
  const double factored = 4.0 * samples * shape.product_values / (narrow ? narrow_speed : wide_speed);
  const double dense = samples * shape.dense_columns * (narrow ? 4.0 : 8.0) * operations_of_byte;
  const double work = factored + dense + samples * shape.pairs * start_of_row;
  return work + std::min(1e6 + 4.0 * work, 5e6);
}

// An iteration costs a product and its share of CG's work on vectors, in double on one core.
double iteration_cost(const SolveShape& shape) {
  constexpr double of_parameter = 1500.0;
  return product_cost(shape, shape.samples, shape.narrow_products) + of_parameter * shape.parameters;
}

// A dual solve finds its residual in the sample space only and is refined at least once, which takes two products: what
// decides where a matrix takes microseconds.
double direct_cost(const SolveShape& shape, Solver solver) {
  if (solver != Solver::gram) return factor_cost(shape, shape.parameters, shape.samples);
  const double start = 2.0 * product_cost(shape, 0.0, false);
  return factor_cost(shape, shape.samples, shape.row_values) + start;
}

// Every solver surveys the batch and finds gradient, residual and step.
double common_cost(const SolveShape& shape) { return 4.0 * product_cost(shape, shape.samples, false); }

// A preconditioner in single precision works up to the first condition (preconditioner.cpp), one at all to the second.
constexpr double narrow_sample_condition = 2e7, most_sample_condition = 1e12;

// The estimate is a fit to batches of tanh networks with 1e3 to 1e4 parameters, 3e3 to 1e5 samples, damping 1e-2 and
// 1e-4 of the mean eigenvalue, samples of 256 to 4,096 rows, to 1e-8: these took 21 to 375 iterations, of which it is
// between 0.8 and 2 times.  A sample of more rows than there are parameters is a covariance matrix, whose eigenvalues
// against the true one's lie in (1 -+ sqrt(d / rows))^2 (Marchenko and Pastur): 29 and 55 iterations at four and two
// times d, measured 31 and 51.
double sampled_iterations(const SolveShape& shape, double rows) {
  const double digits = std::log(2.0 / std::max(shape.tolerance, 1e-15));
  const double reach = 60.0 + 80.0 * shape.dense_columns / shape.parameters;
  const double missed = digits / std::log(2.0 / 1e-8) * (15.0 + reach * std::sqrt(shape.condition_bound) / rows);
  const double spread = std::sqrt(shape.parameters / rows);
  return spread < 1.0 ? std::min(missed, 0.5 * digits * (1.0 + spread) / (1.0 - spread)) : missed;
}

SampledRun sampled_run(const SolveShape& shape, double rows) {
  // The triangular solves are bound by memory and wait for each other.
  constexpr double solve_operations_of_byte = 10.0;
  const bool narrow = shape.condition_bound <= narrow_sample_condition;
  SampledRun run;
  run.rows = static_cast<Index>(rows);
  run.setup = (narrow ? narrow_gain : 1.0) * rows * rows * (shape.row_values + rows / 3.0);
  run.iterations = std::min(sampled_iterations(shape, rows), iterations_bound(shape));
  run.iteration = iteration_cost(shape) + product_cost(shape, rows, narrow) +
                  rows * rows * (narrow ? 4.0 : 8.0) * solve_operations_of_byte;
  return run;
}

}  // namespace

SolveShape shape_of(const ScoresView& scores) {
  SolveShape shape;
  shape.samples = static_cast<double>(scores.rows());
  shape.parameters = static_cast<double>(scores.columns());
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            const auto left = static_cast<double>(view.left.columns), right = static_cast<double>(view.right.columns);
            const auto repeats = static_cast<double>(view.repeats);
            shape.row_values += left + right;
            shape.pairs += 1.0;
            shape.product_values += left * right / repeats + (repeats > 1.0 ? right : 0.0);
          } else {
            shape.row_values += static_cast<double>(view.columns);
            shape.dense_columns += static_cast<double>(view.columns);
          }
        },
        block);
  }
  return shape;
}

double iterations_bound(const SolveShape& shape) {
  const double finite_termination = 1.5 * std::min(shape.samples, shape.parameters) + 10.0;
  const double tolerance = std::max(shape.tolerance, 1e-15);
  return std::min(finite_termination, 0.5 * std::sqrt(shape.condition_bound) * std::log(2.0 / tolerance));
}

SampledRun cheapest_sampled_run(const SolveShape& shape, double slack) {
  if (!shape.precondition || !(shape.condition_bound < most_sample_condition)) return {};
  constexpr double least = 256.0, most = 8192.0, finer = 1.189207115002721;  // four to an octave
  const double last = std::min(most, 0.5 * shape.samples);
  std::vector<SampledRun> runs;
  double lowest = std::numeric_limits<double>::infinity();
  for (double rows = least; rows <= last + 0.5 && fits(shape, rows); rows *= finer) {
    runs.push_back(sampled_run(shape, std::floor(rows + 0.5)));
    lowest = std::min(lowest, runs.back().cost());
  }
  SampledRun chosen;
  for (const SampledRun& run : runs) {
    if (run.cost() <= slack * lowest) chosen = run;
  }
  return chosen;
}

// Where CG has nothing to fall back on, a larger sample is the safer one: what it costs is known, and the iterations
// that it saves are a guess.  A loose tolerance leaves few of them to guess at.  Measured on one thread, HalfCheetah,
// N = 10,000, damping 0.1, to 1e-3: 512 rows in place of 1,218 take 10 iterations for 9 and 64 ms for 101 (17-64-64-6),
// 1,024 in place of 2,435 take 9 for 8 and 0.6 s for 1.0 (17-256-256-6).
Index preconditioner_rows(const SolveShape& shape, double iterations) {
  constexpr double loose = 1e-5;
  // Measured at N = 50,000, to 1e-8: 1.2 s in place of 1.3; twice that slack takes 1.6.
  const double slack = shape.tolerance < loose ? 1.5 : 1.0;
  const SampledRun run = cheapest_sampled_run(shape, slack);
  return run.cost() < iterations * iteration_cost(shape) ? run.rows : 0;
}

SolverChoice choose_solver(const SolveShape& shape) {
  SolverChoice choice;
  const double primal = direct_cost(shape, Solver::cholesky);
  const double dual = direct_cost(shape, Solver::gram);
  const bool primal_fits = fits(shape, shape.parameters);
  const bool dual_fits = shape.dual_possible && fits(shape, shape.samples);
  choice.direct = dual_fits && (!primal_fits || dual < primal) ? Solver::gram
                  : primal_fits                                ? Solver::cholesky
                                                               : Solver::automatic;

  const double direct = choice.direct == Solver::automatic ? 0.0 : direct_cost(shape, choice.direct);
  const double iteration = iteration_cost(shape);
  const SampledRun sampled = cheapest_sampled_run(shape);
  const bool small = std::min(shape.samples, shape.parameters) < 512.0;
  const bool bounded = shape.condition_bound < most_sample_condition;
  // CG goes first where it promises to be faster with a preconditioner, with room for error: its progress is watched.
  // Where none can be had, the iterations that tell its progress must cost little beside the factorisation.
  constexpr double confidence = 0.75, trial = 18.0, share = 0.1;
  choice.solver = choice.direct;
  if (choice.direct == Solver::automatic) {
    choice.solver = Solver::conjugate_gradient;
  } else if (!small && sampled.rows > 0) {
    if (sampled.cost() < confidence * direct) {
      choice.solver = Solver::conjugate_gradient;
      choice.sample_rows = sampled.rows;
    }
  } else if (!small && bounded && trial * iteration < share * direct) {
    choice.solver = Solver::conjugate_gradient;
  }
  choice.affordable = direct / (choice.sample_rows > 0 ? sampled.iteration : iteration);
  choice.patience = static_cast<Index>(std::clamp(1.5 * choice.affordable, 8.0, 1e6));
  constexpr double never = std::numeric_limits<double>::infinity();
  choice.reason = {EventCode::chosen,
                   choice.solver,
                   {primal_fits ? primal : never, dual_fits ? dual : never, iteration,
                    sampled.rows > 0 ? sampled.cost() : 0.0, shape.dual_possible ? 1.0 : 0.0}};
  return choice;
}

PredictedCosts predicted_costs(const SolveShape& shape) {
  PredictedCosts costs;
  const double common = common_cost(shape);
  const SampledRun sampled = cheapest_sampled_run(shape);
  const double most = iterations_bound(shape);
  const bool preconditioned = sampled.rows > 0 && sampled.cost() < most * iteration_cost(shape);
  constexpr double never = std::numeric_limits<double>::infinity();
  costs.cholesky = fits(shape, shape.parameters) ? direct_cost(shape, Solver::cholesky) + common : never;
  costs.gram = shape.dual_possible && fits(shape, shape.samples) ? direct_cost(shape, Solver::gram) + common : never;
  costs.cg_setup = common + (preconditioned ? sampled.setup : 0.0);
  costs.cg_iteration = preconditioned ? sampled.iteration : iteration_cost(shape);
  costs.cg_iterations = preconditioned ? sampled.iterations : most;
  return costs;
}

double memory_limit(const SolveShape& shape) { return shape.memory_limit.value_or(memory_share * machine_memory()); }

bool fits_in_memory(const SolveShape& shape, Solver solver) { return fits(shape, side_of(shape, solver)); }

void check_memory(const SolveShape& shape, Solver solver) {
  const double side = side_of(shape, solver);
  if (fits(shape, side)) return;
  char text[200];
  std::snprintf(
      text, sizeof(text),
      "solver: expected a matrix within the memory limit of %.3g GB, got '%s', whose %.0f x %.0f matrix takes "
      "%.3g GB",
      memory_limit(shape) / 1e9, std::string(name(solver)).c_str(), side, side, matrix_bytes(shape, side) / 1e9);
  throw MemoryLimitExceeded(text);
}

void check_vectors(Index parameters) {
  constexpr double vectors = 8.0;
  const double bytes = 8.0 * vectors * static_cast<double>(parameters);
  if (bytes <= machine_memory()) return;
  char text[200];
  std::snprintf(text, sizeof(text),
                "scores: expected columns of which %.0f vectors are within the memory of %.3g GB, got %.0f, whose take "
                "%.3g GB",
                vectors, machine_memory() / 1e9, static_cast<double>(parameters), bytes / 1e9);
  throw MemoryLimitExceeded(text);
}

}  // namespace fastfisher::detail
