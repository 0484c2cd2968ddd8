// These types are what a step is made of, and what comes of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fastfisher/events.hpp"
#include "fastfisher/solver.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher {

// A batch stands for F = S^T diag(w) S / count and g = S^T (w A) / sum w, unless g is given.
struct Batch {
  ScoresView scores;                   // (N, d), N > 0, d > 0, finite
  const double* advantages = nullptr;  // A, (N,), finite: exactly one of advantages and gradient
  const double* gradient = nullptr;    // g, (d,), finite
  const double* weights = nullptr;     // w, (N,), finite, non-negative, not all zero; null: ones
  std::optional<double> count;         // default: sum w
  bool center = false;                 // subtract the mean score, by the same weights: F is then a covariance matrix
  // With momentum (SPRING, arXiv 2401.10190) the step stays near momentum * previous: x solves
  // (F + lambda I) x = g + lambda momentum previous.
  double momentum = 0.0;             // in [0, 1)
  const double* previous = nullptr;  // the direction of the step before, (d,), finite; null: zero
};

struct StepOptions {
  double damping = 1e-4;          // lambda >= 0
  bool relative_damping = false;  // lambda = damping * tr(F) / min(N, d)
  std::optional<double> max_kl;   // KL that the step is scaled to; none: the step is the direction
  Solver solver = Solver::automatic;
  Precision precision = Precision::automatic;
  double tolerance = 1e-8;              // CG, LSMR: ||g - (F + lambda I) x|| / ||g|| to stop at, >= 0
  std::optional<Index> max_iterations;  // CG, LSMR: >= 0; default min(10 min(N, d) + 100, 10,000)
  const double* initial = nullptr;      // CG, LSMR: where to start, (d,), finite
  bool precondition = true;             // CG, LSMR: by a sample of the rows, where that pays
  bool sample_weights = true;  // find them, where advantages are given: a product with S^T, and N a CG iteration
  // Bytes that a factored matrix may take, and what is kept of it for other dampings; default: 40% of the machine's.
  std::optional<double> memory_limit;
};

struct NaturalStep {
  std::vector<double> step;       // alpha x, (d,)
  std::vector<double> direction;  // x, (d,)
  std::vector<double> gradient;   // g, (d,)
  // (N,) with direction = S^T sample_weights (+ momentum previous); empty where advantages were not given or where they
  // are not unique.
  std::vector<double> sample_weights;
  double step_size = 1.0;              // alpha
  double predicted_kl = 0.0;           // alpha^2 x^T F x / 2
  double predicted_improvement = 0.0;  // alpha g^T x
  Solver solver = Solver::automatic;   // the one that ran
  Precision precision = Precision::automatic;
  double damping = 0.0;  // lambda, absolute
  Index iterations = 0;  // of CG or LSMR, or refinements of a direct solve
  // ||g - (F + lambda I) x|| / ||g||, from the scores, in double.  Of CG in single precision to a tolerance of 1e-4 or
  // more its products are in single precision, where a bound on their rounding is a tenth of the tolerance.
  double residual = 0.0;
  std::vector<Event> events;       // what happened on the way, in that order
  std::vector<std::string> notes;  // the events' sentences
};

// The model behind Solver::automatic expects a step to cost this, in operations at the speed of a factorisation in
// double precision; the cost is infinite where a solver cannot run.
struct PredictedCosts {
  double cholesky = 0.0;
  double gram = 0.0;
  // cg_setup + cg_iterations cg_iteration, preconditioned where that is less; without a preconditioner cg_iterations is
  // a bound.
  double cg_setup = 0.0;
  double cg_iteration = 0.0;
  double cg_iterations = 0.0;
  Solver choice = Solver::automatic;  // what options.solver = automatic would run
};

}  // namespace fastfisher
