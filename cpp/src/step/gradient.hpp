// The gradient of a batch is found here, and told from the rounding of the sums that make it.
#pragma once

#include "step/problem.hpp"

namespace fastfisher::detail {

// An entry of a gradient is zero against rounding where it is no larger than this many times the unit of rounding of
// the terms that it sums, |s| w |A| / sum w: the same advantages in another order might have another sign there.
inline constexpr double rounding_of_terms = 8.0 * 0x1p-53;

// Adds the gradient of `batch`, which is the one that was surveyed, or what momentum makes of it.  A gradient that
// is no more than rounding as a whole loses the entries that are: scaled to a KL divergence they would be a step in a
// random direction.  The products are in single precision where a bound on their rounding is at most `most_rounding`
// of the gradient, and in double otherwise.
// Throws like survey.
void find_gradient(const Batch& batch, double most_rounding, const Context& context, Survey& surveyed);

}  // namespace fastfisher::detail
