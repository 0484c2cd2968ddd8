// The table has one row a solver: to add a solver is a file with its attempt, and a row here.
#pragma once

#include <string_view>

#include "step/attempt.hpp"

namespace fastfisher::detail {

struct SolverRow {
  Solver solver;
  std::string_view name;      // in Python, on the command line and in results
  std::string_view in_words;  // in notes
  bool iterative;             // it needs products with the scores only, and may stop at a tolerance
  // The attempt is null for the automatic one.
  Outcome (*attempt)(const Workspace& workspace, const Plan& plan, const Rung& rung);
};

const SolverRow& row_of(Solver solver) noexcept;

}  // namespace fastfisher::detail
