#include "step/solver_table.hpp"

#include <array>

namespace fastfisher {
namespace detail {
namespace {

// The rows are in the order of the enumeration.
constexpr std::array<SolverRow, 5> table{{
    {Solver::automatic, "auto", "auto", false, nullptr},
    {Solver::cholesky, "cholesky", "Cholesky", false, attempt_direct},
    {Solver::gram, "gram", "the Gram matrix", false, attempt_direct},
    {Solver::conjugate_gradient, "cg", "CG", true, attempt_conjugate_gradient},
    {Solver::lsmr, "lsmr", "LSMR", true, attempt_lsmr},
}};

constexpr bool in_order() {
  for (std::size_t k = 0; k < table.size(); ++k) {
    if (static_cast<std::size_t>(table[k].solver) != k) return false;
  }
  return true;
}
static_assert(in_order());

template <std::size_t... k>
constexpr std::array<Solver, table.size()> solvers_of(std::index_sequence<k...>) {
  return {table[k].solver...};
}

}  // namespace

const SolverRow& row_of(Solver solver) noexcept { return table[static_cast<std::size_t>(solver)]; }

}  // namespace detail

std::string_view name(Solver solver) noexcept { return detail::row_of(solver).name; }

std::span<const Solver> solvers() noexcept {
  static constexpr auto all = detail::solvers_of(std::make_index_sequence<detail::table.size()>());
  return all;
}

std::string_view name(Precision precision) noexcept {
  constexpr std::array<std::string_view, 4> names{"auto", "single", "double", "mixed"};
  return names[static_cast<std::size_t>(precision)];
}

std::span<const Precision> precisions() noexcept {
  static constexpr std::array all{Precision::automatic, Precision::single_precision, Precision::double_precision,
                                  Precision::mixed};
  return all;
}

}  // namespace fastfisher
