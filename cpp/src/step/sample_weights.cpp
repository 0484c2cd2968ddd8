#include "step/sample_weights.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "solvers/conjugate_gradient.hpp"
#include "step/attempt.hpp"
#include "step/solver_table.hpp"

namespace fastfisher::detail {
namespace {

// Computes e = x - S^T u, and returns ||e|| / ||x||.
double missed(const Workspace& workspace, const Vector& x, const Vector& u, Vector& e) {
  workspace.rows->multiply_transposed(u, e);
  for (std::size_t k = 0; k < e.size(); ++k) e[k] = x[k] - e[k];
  const double length = norm(x), miss = norm(e);
  return miss == 0.0 ? 0.0 : miss / length;
}

// Returns u = diag(w) (a - S x) / shift, whose S^T u is x + (b - M x) / shift: as good as the residual is small.
Vector of_residual(const Workspace& workspace, const Solution& solution) {
  const NormalSystem& system = *workspace.rows;
  Vector u(system.samples());
  for (std::size_t n = 0; n < u.size(); ++n) {
    u[n] = system.weight(n) * (workspace.targets[n] - solution.scores_times_x[n]) / system.shift();
  }
  return u;
}

// Bounds what the weights of the residual r miss without a product: r / shift, and the rounding of the sums between.
// These round by the square root of the number of their terms, at most, at random.
double bound_on_miss(const Workspace& workspace, const Solution& solution) {
  const NormalSystem& system = *workspace.rows;
  Vector targets(system.samples()), remainders(system.samples());
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const double root = std::sqrt(system.weight(n));
    targets[n] = root * workspace.targets[n];
    remainders[n] = root * (workspace.targets[n] - solution.scores_times_x[n]);
  }
  const double samples = std::sqrt(static_cast<double>(workspace.samples)), length = norm(solution.x);
  const double parameters = std::sqrt(static_cast<double>(workspace.parameters));
  const double size = std::sqrt(workspace.matrix_trace);
  const double sums = 2.0 * samples * size * (norm(targets) + norm(remainders));
  const double products = parameters * workspace.matrix_trace * length;
  return (solution.residual + double_rounding * (sums + products)) / (system.shift() * length);
}

void take_better(SampleWeights& best, const SampleWeights& other) {
  if (!(best.miss <= other.miss)) best = other;
}

// Takes back e, what S^T u misses, by u + diag(w) S c for M c = e, up to shift c: all of it where F is well above the
// damping.  `solve` turns e into c.
template <class Solve>
SampleWeights corrected(const Workspace& workspace, const Vector& x, SampleWeights weights, const Solve& solve) {
  Vector c, products;
  missed(workspace, x, weights.u, c);
  solve(c);
  workspace.rows->multiply(c, products);
  for (std::size_t n = 0; n < products.size(); ++n) weights.u[n] += workspace.rows->weight(n) * products[n];
  return measured(workspace, x, std::move(weights.u));
}

// Corrects weights as long as that gains a digit, a few times at most; `best` takes what is better.
template <class Solve>
void correct(const Workspace& workspace, const Vector& x, SampleWeights weights, const Solve& solve,
             SampleWeights& best) {
  constexpr int most = 3;
  constexpr double least_gain = 10.0;
  take_better(best, weights);
  for (int round = 0; round < most && weights.miss > most_miss; ++round) {
    SampleWeights next = corrected(workspace, x, weights, solve);
    take_better(best, next);
    if (!(least_gain * next.miss <= weights.miss)) return;
    weights = std::move(next);
  }
}

// Moves x to S^T u where that leaves no larger residual: a solution that was cut short, or found in single precision,
// is no better than that.
void settle(const Workspace& workspace, Outcome& outcome, const SampleWeights& weights) {
  Solution lifted;
  workspace.rows->multiply_transposed(weights.u, lifted.x);
  measure(*workspace.system, workspace.b, lifted);
  constexpr double slack = 1.001;
  const double goal = std::max(workspace.tolerance * norm(workspace.b), slack * outcome.solution.residual);
  if (lifted.residual <= goal) outcome.solution = std::move(lifted);
}

// Corrects weights by CG, which takes no more iterations in all than the solution took.  Where the damping is far below
// the matrix, weights of the residual are so large that the rounding of S^T u alone misses x, and those of zero do not.
void correct_by_iterations(const Workspace& workspace, const Outcome& outcome, double most, SampleWeights& best) {
  const Vector& x = outcome.solution.x;
  constexpr Index spare = 8;
  ConjugateGradientOptions options;
  options.max_iterations = outcome.iterations + spare;
  const Product product = [&](const Vector& p, Vector& y) { workspace.system->apply(p, y); };
  const auto solve = [&](Vector& c) {
    const Vector e = c;
    std::fill(c.begin(), c.end(), 0.0);
    const auto run = conjugate_gradient(*workspace.system, product, e, outcome.preconditioner.get(), options, c);
    options.max_iterations -= run.iterations;
  };
  for (const bool from_zero : {false, true}) {
    SampleWeights start{from_zero ? Vector(best.u.size(), 0.0) : best.u, from_zero ? 1.0 : best.miss};
    options.tolerance = 0.1 * most / start.miss;
    take_better(best, corrected(workspace, x, std::move(start), solve));
    if (best.miss <= most) return;
  }
}

}  // namespace

SampleWeights measured(const Workspace& workspace, const Vector& x, Vector u) {
  Vector e;
  const double miss = missed(workspace, x, u, e);
  return {std::move(u), miss};
}

SampleWeights weights_by_factor(const Workspace& workspace, const Factorization& factor, const Solution& solution) {
  const auto solve = [&](Vector& c) { factor.solve(c); };
  SampleWeights best;
  if (workspace.system->shift() > 0.0) {
    SampleWeights first{of_residual(workspace, solution), bound_on_miss(workspace, solution)};
    if (first.miss <= most_miss) return first;
    correct(workspace, solution.x, measured(workspace, solution.x, std::move(first.u)), solve, best);
  }
  if (!(best.miss <= most_miss)) {
    correct(workspace, solution.x, {Vector(workspace.rows->samples(), 0.0), 1.0}, solve, best);
  }
  return best;
}

SampleWeights final_weights(const Workspace& workspace, double most, Outcome& outcome) {
  SampleWeights best = std::move(outcome.weights);
  if (!(workspace.system->shift() > 0.0)) return best;
  const bool iterative = row_of(outcome.solver).iterative, carried = iterative && !best.u.empty();
  const Solution& solution = outcome.solution;
  if (iterative && solution.residual <= most * workspace.system->shift() * norm(solution.x)) {
    SampleWeights of_solved = measured(workspace, solution.x, of_residual(workspace, solution));
    if (of_solved.miss <= most) return of_solved;
  }
  if (best.miss <= most) return best;
  if (carried) {
    settle(workspace, outcome, best);
    best = measured(workspace, solution.x, std::move(best.u));
    if (best.miss <= most) return best;
  }
  take_better(best, measured(workspace, solution.x, of_residual(workspace, solution)));
  constexpr double near = 1e-3;  // so that few digits are wanted
  if (best.miss <= most || !(best.miss <= near) || !iterative) return best;
  correct_by_iterations(workspace, outcome, most, best);
  return best;
}

}  // namespace fastfisher::detail
