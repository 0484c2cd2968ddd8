// An attempt at the system of a step is a leaf: it returns what it came to and never calls another.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "fastfisher/events.hpp"
#include "solvers/preconditioner.hpp"
#include "solvers/refinement.hpp"
#include "step/sample_weights.hpp"
#include "step/workspace.hpp"

namespace fastfisher::detail {

struct Plan;

enum class Ending {
  converged,    // it met the tolerance; a direct solver, the rounding of its residual
  gave_up,      // it was a trial, whose progress promises to cost more than the next rung
  cut,          // it used up its number of iterations
  stagnated,    // it met the limit of its arithmetic
  singular,     // the system has no solution of this solver's kind
  indefinite,   // the matrix has no factor in this precision
  over_memory,  // the matrix takes more than the limit
};

struct Outcome {
  Ending ending = Ending::converged;
  Solver solver = Solver::automatic;
  Precision precision = Precision::automatic;
  Solution solution;      // measured; empty where there is none
  SampleWeights weights;  // where the solver found them beside the solution
  Index iterations = 0;
  Index limit = 0;                                       // on the iterations of an iterative solver
  std::shared_ptr<const Preconditioner> preconditioner;  // the one that it ran with, or null
  bool asked_for = true;                                 // the rung is the first, and not what became of another
  std::vector<Event> events;
};

// A rung is what is to be tried.
struct Rung {
  Solver solver = Solver::automatic;
  Precision precision = Precision::automatic;
  bool trial = false;               // progress is watched, and patience ends, since there is a next rung
  const Outcome* from = nullptr;    // an iterative solver goes on from it; null: from the workspace's start
  std::optional<Index> limit = {};  // of iterations, below the workspace's
};

// Factors the d x d matrix, or the Gram matrix, in the rung's precision.
Outcome attempt_direct(const Workspace& workspace, const Plan& plan, const Rung& rung);
Outcome attempt_conjugate_gradient(const Workspace& workspace, const Plan& plan, const Rung& rung);
Outcome attempt_lsmr(const Workspace& workspace, const Plan& plan, const Rung& rung);

}  // namespace fastfisher::detail
