// Products of scores in single precision are summed over the rows in double here: their rounding is that of a few
// hundred rows, however many there are.
#pragma once

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// Computes y = S^T u.  u: (N,), y: (d,).
void rmatvec_to_double(const ScoresView& scores, const float* u, double* y, const Context& context);

// Computes y = S^T diag(w) (S v).  v: (d,); w: (N,) or null; y: (d,); u: (N,) receives S v, or null.
void fisher_matvec_to_double(const ScoresView& scores, const float* weights, const float* v, float* u, double* y,
                             const Context& context);

}  // namespace fastfisher::detail
