// LSMR solves the natural step as a least-squares problem, without its normal equations.
#pragma once

#include "solvers/normal_system.hpp"
#include "solvers/preconditioner.hpp"
#include "solvers/refinement.hpp"

namespace fastfisher::detail {

// The problem is min ||A x - c||^2 with A = [R; sqrt(shift) I], R = diag(sqrt w) S and c = [samples; 0], whose normal
// equations are M x = b for b = A^T c.  CG works with M, whose condition number is the square of A's.
//
// A gradient that comes from elsewhere is A^T c for no other c than [0; b / sqrt(shift)], which is so large that only
// rounding gains by it: as measured, CG then loses fewer digits.
struct LeastSquares {
  const NormalSystem* system;
  Vector samples;  // (N,): sqrt(w) a with b = S^T diag(w) a
};

struct LsmrResult {
  Index iterations = 0;
  bool converged = false;
};

// Solves to ||b - M x|| <= tolerance ||b||, if it converges; solution.x is the start on entry, and on return the
// solution, which has been measured.  A start that is carried (carried.hpp) stays so.
//
// Fong and Saunders, "LSMR: an iterative algorithm for sparse least-squares problems", SIAM J. Sci. Comput. 33(5),
// 2011, arXiv 1006.0758.  The preconditioner, which may be null, acts from the right and is needed only as P^-1
// (Arridge, Betcke and Harhanen, "Iterated preconditioned LSQR", Inverse Problems 30(7), 2014).  As in CG, the
// recurrence's word for the residual is checked by measuring it, and the method restarts from the measured one until
// that no longer falls.
LsmrResult lsmr(const LeastSquares& problem, const Vector& b, const Preconditioner* preconditioner, double tolerance,
                Index max_iterations, Solution& solution);

}  // namespace fastfisher::detail
