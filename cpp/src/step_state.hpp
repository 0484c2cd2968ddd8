// A natural step in the making: the problem as posed, and what has been found of it so far.
#pragma once

#include <cstdio>
#include <string>

#include "factorization.hpp"
#include "fastfisher/natural_step.hpp"
#include "momentum.hpp"
#include "problem.hpp"
#include "refinement.hpp"
#include "solver_choice.hpp"

namespace fastfisher::detail {

inline std::string in_words(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Works on x / solution_scale, whose size does not depend on the units of scores and advantages (problem.hpp).
struct StepState {
  StepState(const Batch& batch, const StepOptions& step_options, MatrixCache* matrix_cache, const Context& call)
      : options(step_options),
        context(call),
        cache(matrix_cache),
        original(batch),
        momentum(batch, call),
        problem(pose(momentum.batch(), step_options, call)),
        system(batch.scores, problem.system_weights(), problem.shift(), problem.system_mean(), call),
        b(problem.right_hand_side()) {}
  StepState(const StepState&) = delete;  // the system points into the problem
  StepState& operator=(const StepState&) = delete;

  const StepOptions& options;
  const Context& context;
  MatrixCache* cache;  // null where there is one damping
  const Batch& original;
  Momentum momentum;
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
