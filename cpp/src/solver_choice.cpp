#include "solver_choice.hpp"

#include <unistd.h>

namespace fastfisher::detail {
namespace {

// A matrix may take this share of the machine's memory: the caller's scores and environment need room too.
constexpr double memory_share = 0.4;

double memory_limit_bytes() noexcept {
  const double pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
  const double page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
  return pages > 0.0 && page > 0.0 ? memory_share * pages * page : 4e9;
}

// Multiply-adds, counted as two operations: a symmetric product of n rows over `depth`, and a Cholesky factor.
double direct_operations(double n, double depth) noexcept { return n * n * depth + n * n * n / 3.0; }

bool fits(double n) noexcept { return n * n * sizeof(double) <= memory_limit_bytes(); }

}  // namespace

Solver cheapest_solver(Index samples, Index parameters, bool dual_possible, std::vector<std::string>& notes) {
  const auto n = static_cast<double>(samples);
  const auto d = static_cast<double>(parameters);
  const bool dual_is_cheaper = dual_possible && direct_operations(n, d) < direct_operations(d, n);
  const Solver preferred = dual_is_cheaper ? Solver::gram : Solver::cholesky;
  const double side = dual_is_cheaper ? n : d;
  if (fits(side)) return preferred;
  notes.push_back("A matrix of side " + std::to_string(static_cast<long long>(side)) +
                  " takes more than 40% of this machine's memory; CG was used.");
  return Solver::conjugate_gradient;
}

}  // namespace fastfisher::detail
