// solver="auto" takes the cheapest algebra that fits in memory, by a model of what each costs.
#pragma once

#include <optional>

#include "fastfisher/natural_step.hpp"

namespace fastfisher::detail {

// A shape is what the model knows of a problem.
struct SolveShape {
  double samples = 0.0;     // N
  double parameters = 0.0;  // d
  // An entry of the Gram matrix takes as many multiply-adds, and a row as many stored values: k for a dense block of k
  // columns, p + q for a pair.
  double row_values = 0.0;
  double dense_columns = 0.0;    // columns in dense blocks
  double product_values = 0.0;   // multiply-adds of a row of factored blocks with a vector: p q, less where rows share
  double pairs = 0.0;            // factored blocks
  double condition_bound = 0.0;  // tr / lambda, in units of F: infinite without damping
  double tolerance = 1e-8;       // of CG
  bool dual_possible = true;     // it needs advantages, or damping to divide by
  bool narrow_factor = false;    // factors are in single precision
  bool mixed_likely = false;     // they will be where they are large
  bool narrow_products = false;  // CG's products are
  bool precondition = true;      // CG may be given a preconditioner
  std::optional<double> memory_limit;  // bytes
};

SolveShape shape_of(const ScoresView& scores);

struct SolverChoice {
  Solver solver = Solver::cholesky;
  Solver direct = Solver::cholesky;  // the cheaper factorisation that fits; automatic: neither does
  // These are for CG, where there is a factorisation to fall back on.
  double affordable = 0.0;  // further iterations that cost as much as the factorisation
  Index patience = 0;       // at the most
  Index sample_rows = 0;    // of the preconditioner that it starts with; 0: none
  Event reason{EventCode::chosen};
};

SolverChoice choose_solver(const SolveShape& shape);

// A sampled run is CG with the preconditioner that makes it cheapest.  Costs are in operations (cost_model.cpp).
struct SampledRun {
  Index rows = 0;  // of the sample; 0: none possible
  double setup = 0.0, iteration = 0.0, iterations = 0.0;
  double cost() const noexcept { return setup + iterations * iteration; }
};

// Returns the largest sample whose run costs at most `slack` times the cheapest run.
SampledRun cheapest_sampled_run(const SolveShape& shape, double slack = 1.0);

// Returns the rows of a preconditioner's sample that pay for themselves over `iterations` of CG at the most, or zero
// where none do.
Index preconditioner_rows(const SolveShape& shape, double iterations);

// Bounds the iterations of plain CG to the tolerance, from what is known of the condition.
double iterations_bound(const SolveShape& shape);

// Returns what the model expects of each solver.
PredictedCosts predicted_costs(const SolveShape& shape);

// Returns the bytes that the matrices of a direct solver may take.
double memory_limit(const SolveShape& shape);

bool fits_in_memory(const SolveShape& shape, Solver solver);

// Throws MemoryLimitExceeded where the matrix that this solver factors takes more than the limit.
void check_memory(const SolveShape& shape, Solver solver);

// Throws MemoryLimitExceeded where a few vectors of so many parameters take more than the machine has.
void check_vectors(Index parameters);

}  // namespace fastfisher::detail
