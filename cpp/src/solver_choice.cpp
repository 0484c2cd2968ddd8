#include "solver_choice.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "blocks.hpp"

namespace fastfisher::detail {
namespace {

// A matrix may take this share of the machine's memory: the caller's scores and environment need room too.
constexpr double memory_share = 0.4;

// The machine's memory, or what the process's control group grants of it.
double machine_memory() {
  const double pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
  const double page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
  double bytes = pages > 0.0 && page > 0.0 ? pages * page : 1e10;
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    double limit = 0.0;
    if (std::ifstream(path) >> limit && limit > 0.0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

double memory_limit(const SolveShape& shape) {
  static const double machine = machine_memory();
  return shape.memory_limit.value_or(memory_share * machine);
}

double matrix_bytes(const SolveShape& shape, double side) { return side * side * (shape.narrow_factor ? 4.0 : 8.0); }

bool fits(const SolveShape& shape, double side) { return matrix_bytes(shape, side) <= memory_limit(shape); }

double side_of(const SolveShape& shape, Solver solver) {
  return solver == Solver::gram ? shape.samples : shape.parameters;
}

// Costs are operations of double precision at the speed of the matrix kernels; what is bound by memory is charged as
// the operations that would have been done meanwhile (about 8 a byte, measured on two to sixteen cores).
constexpr double operations_of_byte = 8.0;
constexpr double narrow_gain = 0.55;  // of single precision, with a share for what stays in double
constexpr double cache_bytes = 16e6;

double factor_cost(const SolveShape& shape, double side, double depth) {
  const bool narrow = shape.narrow_factor || (shape.mixed_likely && side >= 512.0);
  return (side * side * depth + side * side * side / 3.0) * (narrow ? narrow_gain : 1.0);
}

double direct_cost(const SolveShape& shape, Solver solver) {
  return solver == Solver::gram ? factor_cost(shape, shape.samples, shape.row_values)
                                : factor_cost(shape, shape.parameters, shape.samples);
}

// One product with F: a pass over the scores; a factored block's share is arithmetic at about 0.6 of full speed.
double product_cost(const SolveShape& shape, double samples) {
  const double factored = 4.0 * samples * shape.product_values / 0.65 * (shape.narrow_products ? narrow_gain : 1.0);
  const double bytes_of_value = shape.narrow_products ? 4.0 : shape.bytes_of_value;
  const double bytes = samples * shape.row_values * bytes_of_value;
  const double dense_bytes = samples * shape.dense_columns * bytes_of_value;
  const double streamed = bytes > cache_bytes ? dense_bytes * operations_of_byte : dense_bytes;
  return factored + streamed;
}

double preconditioner_cost(const SolveShape& shape, double rows) {
  return narrow_gain * (rows * rows * shape.row_values + rows * rows * rows / 3.0);
}

double preconditioned_iteration_cost(const SolveShape& shape, double rows) {
  return product_cost(shape, shape.samples) + product_cost(shape, rows) + rows * rows * 4.0 * operations_of_byte;
}

// Measured, with a sample that preconditioner_rows chooses: 25 to 60.
constexpr double preconditioned_iterations = 50.0;

std::string in_words(double operations) {
  char text[32];
  std::snprintf(text, sizeof(text), operations < 1e8 ? "%.2g" : "%.3g", operations / 1e9);
  return std::string(text) + " GFLOP";
}

}  // namespace

SolveShape shape_of(const ScoresView& scores) {
  SolveShape shape;
  shape.samples = static_cast<double>(scores.rows());
  shape.parameters = static_cast<double>(scores.columns());
  shape.bytes_of_value = 4.0;
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            const auto left = static_cast<double>(view.left.columns), right = static_cast<double>(view.right.columns);
            const auto repeats = static_cast<double>(view.repeats);
            shape.row_values += left + right;
            shape.product_values += left * right / repeats + (repeats > 1.0 ? right : 0.0);
            if (sizeof(*view.left.data) == 8) shape.bytes_of_value = 8.0;
          } else {
            shape.row_values += static_cast<double>(view.columns);
            shape.dense_columns += static_cast<double>(view.columns);
            if (sizeof(*view.data) == 8) shape.bytes_of_value = 8.0;
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

Index preconditioner_rows(const SolveShape& shape, double iterations) {
  // A run as short as a preconditioned one gains nothing.
  if (iterations <= preconditioned_iterations || !(shape.condition_bound < 1e12)) return 0;
  const double plain = iterations * product_cost(shape, shape.samples);
  const double budget = std::min(0.5 * plain, 2.0 * preconditioned_iterations * product_cost(shape, shape.samples));
  constexpr double least = 256.0, most = 8192.0;
  double rows = std::min(most, std::floor(0.5 * shape.samples));
  while (rows >= least && (preconditioner_cost(shape, rows) > budget || !fits(shape, rows))) rows *= 0.8;
  return rows < least ? 0 : static_cast<Index>(rows);
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

  // CG is tried where a few iterations cost little beside a factorisation: only its progress tells how many it needs.
  const double product = product_cost(shape, shape.samples);
  const double direct = choice.direct == Solver::automatic ? 0.0 : direct_cost(shape, choice.direct);
  const bool small = std::min(shape.samples, shape.parameters) < 1024.0;
  const bool bounded = shape.condition_bound < 1e12;
  constexpr double trial = 8.0, share = 0.15, confidence = 0.4;
  choice.solver = choice.direct;
  if (choice.direct == Solver::automatic || (!small && bounded && trial * product < share * direct)) {
    choice.solver = Solver::conjugate_gradient;
  }
  choice.affordable = direct / product;
  // With a preconditioner it needs about as many always.
  if (const Index rows = preconditioner_rows(shape, iterations_bound(shape)); rows > 0) {
    const auto sample = static_cast<double>(rows);
    const double cost =
        preconditioner_cost(shape, sample) + preconditioned_iterations * preconditioned_iteration_cost(shape, sample);
    choice.precondition = cost < confidence * direct;
    if (choice.precondition) choice.affordable = cost / product;
  }
  choice.patience = static_cast<Index>(std::clamp(1.5 * choice.affordable, 8.0, 1e6));
  const auto option = [](const char* name, double cost, bool possible, const char* otherwise) {
    return std::string(name) + " " + (possible ? in_words(cost) : otherwise);
  };
  choice.reason = "auto chose " + std::string(name(choice.solver)) + ": " +
                  option("cholesky", primal, primal_fits, "does not fit in memory") + ", " +
                  option("gram", dual, dual_fits, shape.dual_possible ? "does not fit in memory" : "needs damping") +
                  ", cg " + in_words(product) + " an iteration.";
  return choice;
}

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

}  // namespace fastfisher::detail
