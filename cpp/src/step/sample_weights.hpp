// Sample weights are u with x = S^T u, found beside a solution x and measured against it.
#pragma once

#include <limits>

#include "solvers/factorization.hpp"
#include "solvers/refinement.hpp"
#include "step/workspace.hpp"

namespace fastfisher::detail {

struct Outcome;

// They are given where they miss the direction by no more than this share of its norm.
inline constexpr double most_miss = 1e-6;

struct SampleWeights {
  Vector u;                                               // empty: none were found
  double miss = std::numeric_limits<double>::infinity();  // ||x - S^T u|| / ||x||, measured or bounded from above
};

// Returns the weights with what they miss, which takes a product with S^T.
SampleWeights measured(const Workspace& workspace, const Vector& x, Vector u);

// Returns the weights of a solution by a factor, corrected by that factor while they miss x and that helps.
//
// With shift, they start from the residual, which bounds what they miss; without, S^T u = x holds for u = diag(w) S
// M^-1 x.
SampleWeights weights_by_factor(const Workspace& workspace, const Factorization& factor, const Solution& solution);

// Returns the weights of the outcome that the ladder came to, good to `most` where that can be had: of a solution by
// iterations those of its residual, where that is small; those that the solver found beside the solution, whose part
// that S^T takes to nothing may be another; these with an x that is S^T u and solves the system as well; or either of
// the two, corrected by a few iterations of CG.
SampleWeights final_weights(const Workspace& workspace, double most, Outcome& outcome);

}  // namespace fastfisher::detail
