// Rows of scores are written out here, whatever their blocks.
#pragma once

#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// Writes dense[(n - first) * d + k] = scale[n - first] * S[n, k] for `count` rows from `first`; scale may be null.
template <class Real>
void expand(const ScoresView& scores, Index first, Index count, const Real* scale, Real* dense);

}  // namespace fastfisher::detail
