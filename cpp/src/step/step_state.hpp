// A natural step in the making: the problem as posed, and what has been found of it so far.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "fastfisher/natural_step.hpp"
#include "solvers/factorization.hpp"
#include "solvers/refinement.hpp"
#include "step/cost_model.hpp"
#include "step/momentum.hpp"
#include "step/problem.hpp"

namespace fastfisher::detail {

inline std::string in_words(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Those that need products with the scores only.
inline bool is_iterative(Solver solver) noexcept {
  return solver == Solver::conjugate_gradient || solver == Solver::lsmr;
}

// What the steps of several dampings share: the batch is looked through once.
struct SharedBatch {
  SharedBatch(const Batch& batch, const Context& call)
      : original(batch), context(call), surveyed(survey(batch, call)), momentum(batch, surveyed, call) {
    find_gradient(momentum.batch(), call, surveyed);
  }
  SharedBatch(const SharedBatch&) = delete;  // what is surveyed points into the momentum
  SharedBatch& operator=(const SharedBatch&) = delete;

  const Batch& original;
  const Context& context;
  Survey surveyed;
  Momentum momentum;
  std::optional<double> largest_eigenvalue;  // of count F, estimated where it was needed
};

// Works on x / solution_scale, whose size does not depend on the units of scores and advantages (problem.hpp).
struct StepState {
  StepState(SharedBatch& shared_batch, const StepOptions& step_options)
      : options(step_options),
        shared(shared_batch),
        problem(pose(shared.surveyed, options)),
        system(shared.original.scores, problem.system_weights(), problem.shift(), problem.system_mean(),
               shared.context),
        b(problem.right_hand_side()) {}
  StepState(const StepState&) = delete;  // the system points into the problem
  StepState& operator=(const StepState&) = delete;

  const StepOptions& options;
  SharedBatch& shared;
  MatrixCache* cache = nullptr;  // where other dampings share the matrix
  Problem problem;
  NormalSystem system;
  Vector b;

  SolveShape shape;
  SolverChoice choice;
  Solution solution;
  Vector dual;             // sample weights from a direct solve; empty: from the formula
  bool converged = false;  // of an iterative solver
  NaturalStep result;      // solver, precision, iterations and notes, as they are known
};

}  // namespace fastfisher::detail
