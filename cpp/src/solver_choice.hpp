// solver="auto": the cheaper exact algebra that fits in memory.
#pragma once

#include <string>
#include <vector>

#include "fastfisher/natural_step.hpp"

namespace fastfisher::detail {

// `dual_possible`: the dual needs advantages, or damping to divide by.  A choice forced by memory is noted.
Solver cheapest_solver(Index samples, Index parameters, bool dual_possible, std::vector<std::string>& notes);

}  // namespace fastfisher::detail
