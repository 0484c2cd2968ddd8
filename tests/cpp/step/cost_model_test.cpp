// solver="auto": the model's costs, what it chooses by them, and what it may not choose.
#include "step/cost_model.hpp"

#include <unistd.h>

#include "block_scores.hpp"
#include "fastfisher/errors.hpp"

namespace fastfisher::testing {
namespace {

using detail::choose_solver;
using detail::predicted_costs;
using detail::SampledRun;
using detail::SolverChoice;
using detail::SolveShape;

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double ample = 1e18;  // bytes

// Dense scores; `pair_share` of the columns are of a pair instead.
SolveShape shape_of_size(double samples, double parameters, double condition = 1e6, double pair_share = 0.0) {
  SolveShape shape;
  shape.samples = samples;
  shape.parameters = parameters;
  shape.dense_columns = (1.0 - pair_share) * parameters;
  shape.row_values = shape.dense_columns;
  if (pair_share > 0.0) {
    shape.pairs = 1.0;
    shape.product_values = pair_share * parameters;
    shape.row_values += 2.0 * std::sqrt(shape.product_values);
  }
  shape.condition_bound = condition;
  shape.memory_limit = ample;
  return shape;
}

// Calls function(shape) for problems small and large, damped and not, in each precision.
template <class Function>
void for_each_shape(const Function& function) {
  for (const double samples : {1.0, 40.0, 600.0, 3000.0, 5e4, 1e6}) {
    for (const double parameters : {1.0, 30.0, 700.0, 5000.0, 2e4}) {
      for (const double condition : {1.0, 30.0, 1e4, 1e8, 1e13, infinite}) {
        for (const double pair_share : {0.0, 0.75}) {
          for (const bool narrow : {false, true}) {
            SolveShape shape = shape_of_size(samples, parameters, condition, pair_share);
            shape.narrow_factor = shape.narrow_products = narrow;
            SCOPED_TRACE("N = " + std::to_string(samples) + ", d = " + std::to_string(parameters) + ", condition " +
                         std::to_string(condition) + (narrow ? ", narrow" : ""));
            function(shape);
            if (::testing::Test::HasFailure()) return;
          }
        }
      }
    }
  }
}

double plain_iteration(SolveShape shape) {
  shape.precondition = false;
  return predicted_costs(shape).cg_iteration;
}

// Without what every solver does, which is all that plain CG has before it iterates.
double common_cost(SolveShape shape) {
  shape.precondition = false;
  return predicted_costs(shape).cg_setup;
}

double direct_cost(SolveShape shape, Solver solver) {
  shape.memory_limit = ample;
  shape.dual_possible = true;
  const PredictedCosts costs = predicted_costs(shape);
  return (solver == Solver::gram ? costs.gram : costs.cholesky) - common_cost(shape);
}

TEST(CostModel, ShapeCountsBlocksOfEveryKind) {
  const BlockScores scores = BlockScores(60).dense<float>(7).pair<double>(4, 6).pair<float>(5, 3, 2).dense<double>(2);
  const SolveShape shape = detail::shape_of(scores.view());
  EXPECT_EQ(shape.samples, 60.0);
  EXPECT_EQ(shape.parameters, 7 + 24 + 15 + 2);
  EXPECT_EQ(shape.dense_columns, 9.0);
  EXPECT_EQ(shape.row_values, 7 + (4 + 6) + (5 + 3) + 2);
  EXPECT_EQ(shape.pairs, 2.0);
  // A product with a row of the pair that shares left sides: half of p q, and the q of its own.
  EXPECT_EQ(shape.product_values, 24.0 + 15.0 / 2.0 + 3.0);
}

TEST(CostModel, EveryCostGrowsWithSamplesAndParameters) {
  for_each_shape([](const SolveShape& shape) {
    const PredictedCosts costs = predicted_costs(shape);
    for (const double more : {1.01, 3.0}) {
      const double pair_share = shape.product_values / shape.parameters;
      SolveShape larger[] = {shape_of_size(more * shape.samples, shape.parameters, shape.condition_bound, pair_share),
                             shape_of_size(shape.samples, more * shape.parameters, shape.condition_bound, pair_share)};
      for (SolveShape& other : larger) {
        other.narrow_factor = other.narrow_products = shape.narrow_factor;
        const PredictedCosts grown = predicted_costs(other);
        EXPECT_GT(grown.cholesky, costs.cholesky);
        EXPECT_GT(grown.gram, costs.gram);
        EXPECT_GT(plain_iteration(other), plain_iteration(shape));
        EXPECT_GE(detail::iterations_bound(other), detail::iterations_bound(shape));
      }
    }
  });
}

// For large problems the powers are those of the operations: d^3 / 3 + N d^2, N^3 / 3 + N^2 d, N d.
TEST(CostModel, CostsHaveTheOrderOfTheirOperations) {
  const auto ratio = [](Solver solver, double samples, double parameters) {
    return direct_cost(shape_of_size(2.0 * samples, 2.0 * parameters), solver) /
           direct_cost(shape_of_size(samples, parameters), solver);
  };
  for (const auto& [samples, parameters] : {std::pair(1e5, 2e4), std::pair(2e4, 1e5), std::pair(5e4, 5e4)}) {
    EXPECT_NEAR(ratio(Solver::cholesky, samples, parameters), 8.0, 0.01);
    EXPECT_NEAR(ratio(Solver::gram, samples, parameters), 8.0, 0.01);
    EXPECT_NEAR(plain_iteration(shape_of_size(2 * samples, 2 * parameters)) /
                    plain_iteration(shape_of_size(samples, parameters)),
                4.0, 0.01);
  }
  const double cholesky = direct_cost(shape_of_size(3e4, 3e4), Solver::cholesky);
  EXPECT_NEAR(cholesky / (4.0 / 3.0 * std::pow(3e4, 3.0)), 1.0, 1e-12);
  // Single precision is faster, whatever it is single precision of.
  SolveShape narrow = shape_of_size(5e4, 5e4);
  narrow.narrow_factor = true;
  EXPECT_LT(direct_cost(narrow, Solver::cholesky), direct_cost(shape_of_size(5e4, 5e4), Solver::cholesky));
  narrow.narrow_products = true;
  EXPECT_LT(plain_iteration(narrow), plain_iteration(shape_of_size(5e4, 5e4)));
}

TEST(CostModel, TheCheaperFactorisationIsChosen) {
  int cholesky = 0, gram = 0;
  for_each_shape([&](const SolveShape& shape) {
    const PredictedCosts costs = predicted_costs(shape);
    const Solver direct = choose_solver(shape).direct;
    EXPECT_EQ(direct, costs.gram < costs.cholesky ? Solver::gram : Solver::cholesky);
    ++(direct == Solver::gram ? gram : cholesky);
  });
  EXPECT_GT(cholesky, 50);
  EXPECT_GT(gram, 50);
}

// CG only where its run is cheaper with a margin, or where finding out costs little; never for what takes microseconds.
TEST(CostModel, CgIsChosenWhereItPromisesToBeCheaper) {
  int preconditioned = 0, plain = 0, direct = 0;
  for_each_shape([&](const SolveShape& shape) {
    const SolverChoice choice = choose_solver(shape);
    const double of_direct = direct_cost(shape, choice.direct);
    const SampledRun run = detail::cheapest_sampled_run(shape);
    EXPECT_EQ(choice.sample_rows, choice.solver == Solver::conjugate_gradient ? run.rows : 0);
    const double iteration = choice.sample_rows > 0 ? run.iteration : plain_iteration(shape);
    EXPECT_NEAR(choice.affordable * iteration / of_direct, 1.0, 1e-9);
    EXPECT_EQ(choice.patience, static_cast<Index>(std::clamp(1.5 * choice.affordable, 8.0, 1e6)));
    if (choice.solver != Solver::conjugate_gradient) {
      EXPECT_EQ(choice.solver, choice.direct);
      ++direct;
      // A run for two thirds of the price is not passed over, but for a small problem.
      if (run.rows > 0 && std::min(shape.samples, shape.parameters) >= 512.0) {
        EXPECT_GT(run.cost(), 0.66 * of_direct);
      }
      return;
    }
    EXPECT_GE(std::min(shape.samples, shape.parameters), 512.0);
    EXPECT_LT(shape.condition_bound, 1e12);
    if (run.rows > 0) {
      EXPECT_LT(run.cost(), of_direct);
    } else {
      EXPECT_LT(8.0 * iteration, 0.1 * of_direct);
    }
    ++(run.rows > 0 ? preconditioned : plain);
  });
  EXPECT_GT(direct, 100);
  EXPECT_GT(preconditioned, 10);
  for_each_shape([&](SolveShape shape) {
    shape.precondition = false;
    const SolverChoice choice = choose_solver(shape);
    EXPECT_EQ(choice.sample_rows, 0);
    if (choice.solver == Solver::conjugate_gradient) ++plain;
  });
  EXPECT_GT(plain, 10);
}

// A matrix of exactly the limit fits; one byte less, and it does not.  In single precision it takes half.
TEST(CostModel, WhatDoesNotFitIsNeverChosen) {
  for (const bool narrow : {false, true}) {
    SolveShape shape = shape_of_size(3000.0, 2000.0);
    shape.narrow_factor = narrow;
    shape.precondition = false;
    const double value = narrow ? 4.0 : 8.0;
    const auto with_limit = [&](double bytes) {
      shape.memory_limit = bytes;
      return shape;
    };
    EXPECT_TRUE(detail::fits_in_memory(with_limit(value * 9e6), Solver::gram));
    EXPECT_NO_THROW(detail::check_memory(shape, Solver::gram));
    EXPECT_EQ(predicted_costs(shape).cholesky, direct_cost(shape, Solver::cholesky) + common_cost(shape));

    EXPECT_FALSE(detail::fits_in_memory(with_limit(value * 9e6 - 1.0), Solver::gram));
    EXPECT_TRUE(detail::fits_in_memory(shape, Solver::cholesky));
    EXPECT_EQ(predicted_costs(shape).gram, infinite);
    EXPECT_LT(predicted_costs(shape).cholesky, infinite);
    EXPECT_EQ(choose_solver(shape).direct, Solver::cholesky);
    EXPECT_THROW(detail::check_memory(shape, Solver::gram), MemoryLimitExceeded);
    EXPECT_NO_THROW(detail::check_memory(shape, Solver::cholesky));
    EXPECT_NE(sentence(choose_solver(shape).reason).find("gram does not fit in memory"), std::string::npos);

    EXPECT_FALSE(detail::fits_in_memory(with_limit(value * 4e6 - 1.0), Solver::cholesky));
    EXPECT_EQ(predicted_costs(shape).cholesky, infinite);
    EXPECT_THROW(detail::check_memory(shape, Solver::cholesky), MemoryLimitExceeded);
    const SolverChoice choice = choose_solver(shape);
    EXPECT_EQ(choice.direct, Solver::automatic);  // neither
    EXPECT_EQ(choice.solver, Solver::conjugate_gradient);
    EXPECT_EQ(choice.affordable, 0.0);
  }
  SolveShape few_rows = shape_of_size(1000.0, 3000.0);  // the dearer one is chosen where the cheaper does not fit
  EXPECT_EQ(choose_solver(few_rows).direct, Solver::gram);
  few_rows.samples = 4000.0;
  few_rows.parameters = few_rows.dense_columns = few_rows.row_values = 5000.0;
  few_rows.memory_limit = 8.0 * 4000.0 * 4000.0;
  EXPECT_EQ(choose_solver(few_rows).direct, Solver::gram);
}

TEST(CostModel, TheMachineGrantsLessThanItHas) {
  const SolveShape shape;
  const double machine = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  EXPECT_GT(detail::memory_limit(shape), 0.0);
  EXPECT_LE(detail::memory_limit(shape), 0.5 * machine);
  SolveShape given;
  given.memory_limit = 12345.0;
  EXPECT_EQ(detail::memory_limit(given), 12345.0);
}

TEST(CostModel, GramNeedsDampingOrAdvantages) {
  SolveShape shape = shape_of_size(100.0, 5000.0);
  EXPECT_EQ(choose_solver(shape).direct, Solver::gram);
  shape.dual_possible = false;
  EXPECT_EQ(predicted_costs(shape).gram, infinite);
  EXPECT_LT(predicted_costs(shape).cholesky, infinite);
  EXPECT_EQ(choose_solver(shape).direct, Solver::cholesky);
  EXPECT_NE(sentence(choose_solver(shape).reason).find("gram needs damping"), std::string::npos);
}

// Iterations of textbook CG on diag(eigenvalues) until the error in the A-norm has fallen by the tolerance.
double iterations_of_cg(const std::vector<long double>& eigenvalues, long double tolerance) {
  const std::size_t n = eigenvalues.size();
  std::vector<long double> error(n, 1.0L), r(eigenvalues), p(eigenvalues);
  const auto inner = [&](const auto& a, const auto& b, bool by_matrix) {
    long double sum = 0.0L;
    for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i] * (by_matrix ? eigenvalues[i] : 1.0L);
    return sum;
  };
  const long double first = inner(error, error, true);
  double iterations = 0.0;
  for (; inner(error, error, true) > tolerance * tolerance * first && iterations < 1e4; iterations += 1.0) {
    const long double square = inner(r, r, false), alpha = square / inner(p, p, true);
    for (std::size_t i = 0; i < n; ++i) {
      error[i] -= alpha * p[i];
      r[i] -= alpha * eigenvalues[i] * p[i];
    }
    const long double beta = inner(r, r, false) / square;
    for (std::size_t i = 0; i < n; ++i) p[i] = r[i] + beta * p[i];
  }
  return iterations;
}

// The bound of Chebyshev polynomials, sqrt(condition) / 2 ln(2 / tolerance), and CG's end after as many steps as there
// are eigenvalues.
TEST(CostModel, IterationsBoundHoldsForCg) {
  for (const double condition : {2.0, 10.0, 100.0, 1e3}) {
    for (const double tolerance : {1e-2, 1e-5, 1e-8}) {
      SolveShape shape = shape_of_size(1e6, 2e5, condition);
      shape.tolerance = tolerance;
      const double bound = detail::iterations_bound(shape);
      EXPECT_NEAR(bound, 0.5 * std::sqrt(condition) * std::log(2.0 / tolerance), 1e-9 * bound);
      std::vector<long double> eigenvalues;
      for (int k = 0; k < 400; ++k) {  // the roots of a Chebyshev polynomial: the hardest
        eigenvalues.push_back(1.0L + 0.5L * (condition - 1.0L) * (1.0L - std::cos(3.14159265L * (k + 0.5L) / 400.0L)));
      }
      const double needed = iterations_of_cg(eigenvalues, tolerance);
      EXPECT_LE(needed, std::ceil(bound)) << "condition " << condition << ", tolerance " << tolerance;
      if (tolerance < 1e-2) {  // of fewer digits, such a right-hand side asks for less
        EXPECT_GE(needed, 0.6 * bound) << "condition " << condition << ", tolerance " << tolerance;
      }
    }
  }
  for_each_shape([](const SolveShape& shape) {
    const double least = std::min(shape.samples, shape.parameters);
    EXPECT_LE(detail::iterations_bound(shape), 1.5 * least + 10.0);
    if (shape.condition_bound == infinite) {
      EXPECT_EQ(detail::iterations_bound(shape), 1.5 * least + 10.0);
    }
  });
  SolveShape exact = shape_of_size(1e6, 2e5, 100.0);
  exact.tolerance = 0.0;  // of what double can tell
  EXPECT_LT(detail::iterations_bound(exact), 200.0);
}

TEST(CostModel, SampledRunsKeepTheirLimits) {
  int possible = 0;
  for_each_shape([&](const SolveShape& shape) {
    const SampledRun run = detail::cheapest_sampled_run(shape);
    if (shape.samples < 512.0 || shape.condition_bound >= 1e12) {
      EXPECT_EQ(run.rows, 0);
    } else {
      ++possible;
      EXPECT_GE(run.rows, 256);
      EXPECT_LE(run.rows, std::min(8192.0, 0.5 * shape.samples + 1.0));
      EXPECT_LE(run.iterations, detail::iterations_bound(shape));
      EXPECT_GT(run.iteration, plain_iteration(shape));
    }
    SolveShape never = shape;
    never.precondition = false;
    EXPECT_EQ(detail::cheapest_sampled_run(never).rows, 0);
    SolveShape bounded = shape;
    bounded.memory_limit = (shape.narrow_factor ? 4.0 : 8.0) * 300.0 * 300.0;
    EXPECT_LE(detail::cheapest_sampled_run(bounded, 1e9).rows, 300);
    bounded.memory_limit = (shape.narrow_factor ? 4.0 : 8.0) * 256.0 * 256.0 - 1.0;
    EXPECT_EQ(detail::cheapest_sampled_run(bounded).rows, 0);
  });
  EXPECT_GT(possible, 100);
}

// No run is cheaper than the cheapest; slack buys rows, for its price at the most.
TEST(CostModel, SlackBuysALargerSample) {
  int larger = 0;
  for_each_shape([&](const SolveShape& shape) {
    const SampledRun cheapest = detail::cheapest_sampled_run(shape);
    if (cheapest.rows == 0) return;
    Index rows = cheapest.rows;
    for (const double slack : {1.2, 1.5, 2.0, 5.0, 1e9}) {
      const SampledRun run = detail::cheapest_sampled_run(shape, slack);
      EXPECT_GE(run.rows, rows);
      EXPECT_GE(run.cost(), cheapest.cost());
      EXPECT_LE(run.cost(), slack * cheapest.cost());
      larger += run.rows > rows ? 1 : 0;
      rows = run.rows;
    }
    // All the way up: the largest that is possible, to a quarter of an octave.
    EXPECT_GT(static_cast<double>(rows) * 1.2, std::min(8192.0, 0.5 * shape.samples));
  });
  EXPECT_GT(larger, 100);
}

TEST(CostModel, WorseConditionsAreNoCheaper) {
  for (const double samples : {2000.0, 5e4}) {
    for (const double parameters : {500.0, 5000.0}) {
      double before = 0.0;
      for (double condition = 1.0; condition < 1e12; condition *= 3.0) {
        const SampledRun run = detail::cheapest_sampled_run(shape_of_size(samples, parameters, condition));
        EXPECT_GE(run.cost(), before) << "condition " << condition;
        before = run.cost();
      }
      EXPECT_GT(before, 2.0 * detail::cheapest_sampled_run(shape_of_size(samples, parameters, 1.0)).cost());
    }
  }
}

// A sample is worth its rows over many iterations and not over few.
TEST(CostModel, PreconditionerPaysForItself) {
  int paid = 0;
  for_each_shape([&](const SolveShape& shape) {
    const SampledRun run = detail::cheapest_sampled_run(shape, 1.5);
    const double even = run.cost() / plain_iteration(shape);
    EXPECT_EQ(detail::preconditioner_rows(shape, 0.999 * even), 0);
    EXPECT_EQ(detail::preconditioner_rows(shape, 0.0), 0);
    EXPECT_EQ(detail::preconditioner_rows(shape, 1.001 * even + 1e-3), run.rows);
    paid += run.rows > 0 ? 1 : 0;
  });
  EXPECT_GT(paid, 100);
}

// CG's prediction is the cheaper of its two ways.
TEST(CostModel, PredictionPreconditionsWhereThatIsCheaper) {
  int preconditioned = 0, plain = 0;
  for_each_shape([&](const SolveShape& shape) {
    const PredictedCosts costs = predicted_costs(shape);
    const SampledRun run = detail::cheapest_sampled_run(shape);
    const double without = detail::iterations_bound(shape) * plain_iteration(shape);
    const double with = run.rows > 0 ? run.cost() : infinite;
    const double total = costs.cg_setup + costs.cg_iterations * costs.cg_iteration;
    EXPECT_NEAR(total / (common_cost(shape) + std::min(with, without)), 1.0, 1e-12);
    ++(with < without ? preconditioned : plain);
  });
  EXPECT_GT(preconditioned, 20);
  EXPECT_GT(plain, 20);
}

}  // namespace
}  // namespace fastfisher::testing
