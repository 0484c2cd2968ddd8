// The damped natural-gradient step against (F + lambda I) x = g written out in long double.
#include "fastfisher/natural_step.hpp"

#include <algorithm>
#include <stdexcept>

#include "support.hpp"

namespace fastfisher::testing {
namespace {

class Step : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Step);

using Exact = std::vector<long double>;

constexpr Solver solvers[] = {Solver::cholesky, Solver::gram, Solver::conjugate_gradient};

struct Case {
  Shape shape;
  Laid<double> matrix;
  std::vector<double> advantages, weights;
  Batch batch;
  StepOptions options;
  Exact mean;  // that is subtracted from the scores

  explicit Case(const Shape& size, bool weighted = false)
      : shape(size),
        matrix(size, Laid<double>::layouts(size)[0]),
        advantages(vector_of<double>(size.rows, 3)),
        weights(weights_of(size.rows)),
        mean(static_cast<std::size_t>(size.columns), 0.0L) {
    weights[0] = 0.5;  // one row has one weight: let it not be zero
    batch.scores = matrix.view();
    batch.advantages = advantages.data();
    if (weighted) batch.weights = weights.data();
    options.damping = 0.05;
    options.tolerance = 1e-13;
  }

  void centre() {
    batch.center = true;
    const long double total = total_weight();
    for (Index n = 0; n < shape.rows; ++n) {
      for (Index k = 0; k < shape.columns; ++k) mean[k] += weight(n) * value_at(n, k) / total;
    }
  }

  long double score(Index n, Index k) const { return value_at(n, k) - mean[k]; }
  long double weight(Index n) const { return batch.weights == nullptr ? 1.0L : batch.weights[n]; }
  long double total_weight() const {
    long double total = 0.0L;
    for (Index n = 0; n < shape.rows; ++n) total += weight(n);
    return total;
  }
  long double divisor() const { return batch.count ? static_cast<long double>(*batch.count) : total_weight(); }

  Exact gradient() const {
    if (batch.gradient != nullptr) return {batch.gradient, batch.gradient + shape.columns};
    const long double total = total_weight();
    Exact g(static_cast<std::size_t>(shape.columns), 0.0L);
    for (Index n = 0; n < shape.rows; ++n) {
      for (Index k = 0; k < shape.columns; ++k) g[k] += weight(n) * advantages[n] * score(n, k) / total;
    }
    return g;
  }

  // F x + lambda x
  Exact damped_fisher_times(const std::vector<double>& x, long double damping) const {
    const long double count = divisor();
    Exact y(x.begin(), x.end());
    for (long double& entry : y) entry *= damping;
    for (Index n = 0; n < shape.rows; ++n) {
      long double inner = 0.0L;
      for (Index k = 0; k < shape.columns; ++k) inner += score(n, k) * x[k];
      for (Index k = 0; k < shape.columns; ++k) y[k] += weight(n) * inner * score(n, k) / count;
    }
    return y;
  }
};

long double norm(const Exact& a) {
  long double sum = 0.0L;
  for (const long double entry : a) sum += entry * entry;
  return std::sqrt(sum);
}

Exact difference(const Exact& a, const std::vector<double>& b) {
  Exact result(a);
  for (std::size_t i = 0; i < a.size(); ++i) result[i] -= b[i];
  return result;
}

// Everything that the header promises of the fields.
void expect_promises(const Case& c, const NaturalStep& result, double residual_bound) {
  const Exact g = c.gradient();
  EXPECT_LE(norm(difference(g, result.gradient)), 1e-14L * norm(g) * std::sqrt(static_cast<long double>(c.shape.rows)));
  const Exact mx = c.damped_fisher_times(result.direction, result.damping);
  Exact r(g);
  for (std::size_t k = 0; k < r.size(); ++k) r[k] -= mx[k];
  const auto residual = static_cast<double>(norm(r) / norm(g));
  EXPECT_LT(residual, residual_bound);
  EXPECT_NEAR(result.residual, residual, 0.1 * residual + 1e-14);  // what is reported is what is

  long double slope = 0.0L, curvature = 0.0L;
  for (std::size_t k = 0; k < r.size(); ++k) {
    slope += g[k] * result.direction[k];
    curvature += (mx[k] - result.damping * result.direction[k]) * result.direction[k];
    EXPECT_DOUBLE_EQ(result.step[k], result.step_size * result.direction[k]);
  }
  const long double alpha = c.options.max_kl ? std::sqrt(2.0L * *c.options.max_kl / slope) : 1.0L;
  EXPECT_NEAR(result.step_size / static_cast<double>(alpha), 1.0, 1e-10);
  EXPECT_NEAR(result.predicted_kl / static_cast<double>(0.5L * alpha * alpha * curvature), 1.0, 1e-9);
  EXPECT_NEAR(result.predicted_improvement / static_cast<double>(alpha * slope), 1.0, 1e-9);

  if (c.batch.advantages == nullptr) {
    EXPECT_TRUE(result.sample_weights.empty());
    return;
  }
  if (result.sample_weights.empty()) {
    EXPECT_TRUE(std::any_of(result.events.begin(), result.events.end(),
                            [](const Event& event) { return event.code == EventCode::sample_weights_missed; }));
    return;
  }
  // direction = S^T sample_weights, to 1e-6 of its norm.
  Exact back(g.size(), 0.0L);
  for (Index n = 0; n < c.shape.rows; ++n) {
    for (Index k = 0; k < c.shape.columns; ++k) {
      back[k] += static_cast<long double>(result.sample_weights[n]) * value_at(n, k);
    }
  }
  const long double scale = norm(Exact(result.direction.begin(), result.direction.end()));
  const long double residual_weights = 2.0L * norm(r) / result.damping + 1e-11L * scale;
  EXPECT_LE(norm(difference(back, result.direction)), std::min(residual_weights, 1e-6L * scale));
}

TEST_P(Step, EverySolverKeepsItsPromises) {
  for (const Solver solver : {Solver::cholesky, Solver::gram, Solver::conjugate_gradient, Solver::lsmr}) {
    for (const Shape& shape : {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{16, 15}, Shape{15, 16}, Shape{33, 33},
                               Shape{200, 24}, Shape{25, 190}, Shape{300, 140}}) {
      for (const bool weighted : {false, true}) {
        SCOPED_TRACE(text(shape) + ", " + std::string(name(solver)) + (weighted ? ", weighted" : ""));
        Case c(shape, weighted);
        c.options.solver = solver;
        c.options.max_kl = 0.02;
        const NaturalStep result = natural_step(c.batch, c.options);
        EXPECT_EQ(result.solver, solver);
        EXPECT_EQ(result.precision, Precision::double_precision);
        EXPECT_EQ(result.damping, c.options.damping);
        expect_promises(c, result, 1e-12);
      }
    }
  }
}

TEST_P(Step, CountDividesTheFisherMatrixAndNotTheGradient) {
  for (const Solver solver : solvers) {
    Case c({60, 21}, true);
    c.batch.count = 13.5;
    c.options.solver = solver;
    expect_promises(c, natural_step(c.batch, c.options), 1e-12);
  }
}

// F is a covariance matrix, by the weights of the batch; sample weights are of the scores as they are.
TEST_P(Step, ACentredBatchLosesItsMean) {
  for (const Solver solver : {Solver::cholesky, Solver::gram, Solver::conjugate_gradient, Solver::lsmr}) {
    for (const Shape& shape : {Shape{9, 1}, Shape{16, 15}, Shape{15, 16}, Shape{200, 24}, Shape{25, 190}}) {
      for (const bool weighted : {false, true}) {
        SCOPED_TRACE(text(shape) + ", " + std::string(name(solver)) + (weighted ? ", weighted" : ""));
        Case c(shape, weighted);
        c.centre();
        if (weighted) c.batch.count = 13.5;
        c.options.solver = solver;
        c.options.max_kl = 0.02;
        const NaturalStep result = natural_step(c.batch, c.options);
        EXPECT_EQ(result.solver, solver);
        expect_promises(c, result, 1e-12);
      }
    }
  }
}

TEST_P(Step, ACentredBatchHasATraceOfItsOwn) {
  Case c({30, 12}, true);
  c.centre();
  c.options.relative_damping = true;
  long double trace = 0.0L;
  for (Index n = 0; n < 30; ++n) {
    for (Index k = 0; k < 12; ++k) trace += c.weight(n) * c.score(n, k) * c.score(n, k) / c.total_weight();
  }
  for (const Solver solver : solvers) {
    c.options.solver = solver;
    EXPECT_NEAR(natural_step(c.batch, c.options).damping, static_cast<double>(0.05L * trace / 12), 1e-14);
  }
  c.batch.momentum = 0.5;
  EXPECT_THROW(natural_step(c.batch, c.options), std::invalid_argument);
}

// Left to choose, it takes the smaller matrix, factors it in single where that pays, and says why.
TEST_P(Step, AutomaticIsTheCheaperSolver) {
  struct Expected {
    Shape shape;
    Solver solver;
    Precision precision;
  };
  for (const Expected& expected : {Expected{{200, 24}, Solver::cholesky, Precision::double_precision},
                                   Expected{{25, 190}, Solver::gram, Precision::double_precision},
                                   Expected{{1100, 520}, Solver::cholesky, Precision::mixed}}) {
    SCOPED_TRACE(text(expected.shape));
    Case c(expected.shape);
    c.options.solver = Solver::automatic;
    c.options.precision = Precision::automatic;
    const NaturalStep result = natural_step(c.batch, c.options);
    EXPECT_EQ(result.solver, expected.solver);
    EXPECT_EQ(result.precision, expected.precision);
    ASSERT_FALSE(result.notes.empty());
    EXPECT_EQ(result.notes.front().find("auto chose " + std::string(name(expected.solver)) + ": "), 0U)
        << result.notes.front();
    expect_promises(c, result, 1e-12);
  }
}

TEST_P(Step, AMatrixFitsInTheMemoryLimitOrIsNotMade) {
  struct Expected {
    Solver solver;
    Precision precision;
    double bytes;
  };
  Case c({60, 21});
  for (const Expected& expected : {Expected{Solver::cholesky, Precision::double_precision, 21.0 * 21.0 * 8.0},
                                   Expected{Solver::cholesky, Precision::single_precision, 21.0 * 21.0 * 4.0},
                                   Expected{Solver::cholesky, Precision::mixed, 21.0 * 21.0 * 4.0},
                                   Expected{Solver::gram, Precision::double_precision, 60.0 * 60.0 * 8.0},
                                   Expected{Solver::gram, Precision::single_precision, 60.0 * 60.0 * 4.0}}) {
    SCOPED_TRACE(std::string(name(expected.solver)) + ", " + std::string(name(expected.precision)));
    c.options.solver = expected.solver;
    c.options.precision = expected.precision;
    c.options.memory_limit = expected.bytes;
    EXPECT_EQ(natural_step(c.batch, c.options).solver, expected.solver);
    c.options.memory_limit = expected.bytes - 1.0;
    try {
      natural_step(c.batch, c.options);
      ADD_FAILURE() << "beyond the limit";
    } catch (const MemoryLimitExceeded& error) {
      EXPECT_NE(std::string(error.what()).find(name(expected.solver)), std::string::npos) << error.what();
    }
    EXPECT_THROW(natural_steps(c.batch, {0.5, 0.05}, c.options), MemoryLimitExceeded);
    EXPECT_THROW(predicted_costs(c.batch, c.options), MemoryLimitExceeded);
  }
  // What needs no matrix needs no limit.
  c.options.precision = Precision::double_precision;
  c.options.memory_limit = 0.0;
  for (const Solver solver : {Solver::automatic, Solver::conjugate_gradient}) {
    c.options.solver = solver;
    const NaturalStep result = natural_step(c.batch, c.options);
    EXPECT_EQ(result.solver, Solver::conjugate_gradient);
    expect_promises(c, result, 1e-12);
  }
  c.options.memory_limit = std::numeric_limits<double>::infinity();
  c.options.solver = Solver::automatic;
  EXPECT_EQ(natural_step(c.batch, c.options).solver, Solver::cholesky);
}

TEST_P(Step, PredictedCostsAreThoseOfTheChoice) {
  for (const Shape& shape : {Shape{1, 1}, Shape{200, 24}, Shape{25, 190}, Shape{60, 21}}) {
    SCOPED_TRACE(text(shape));
    Case c(shape);
    c.options.solver = Solver::automatic;
    const PredictedCosts costs = predicted_costs(c.batch, c.options);
    for (const double cost : {costs.cholesky, costs.gram, costs.cg_setup, costs.cg_iteration, costs.cg_iterations}) {
      EXPECT_TRUE(cost > 0.0 && std::isfinite(cost)) << cost;
    }
    EXPECT_EQ(costs.choice, costs.cholesky <= costs.gram ? Solver::cholesky : Solver::gram);
    EXPECT_EQ(costs.choice, natural_step(c.batch, c.options).solver);
    for (const Solver solver : solvers) {
      c.options.solver = solver;
      EXPECT_EQ(predicted_costs(c.batch, c.options).choice, solver);
    }
  }
  constexpr double never = std::numeric_limits<double>::infinity();
  Case c({60, 21});
  c.options.solver = Solver::automatic;
  c.options.memory_limit = 21.0 * 21.0 * 8.0;
  EXPECT_EQ(predicted_costs(c.batch, c.options).gram, never);
  EXPECT_LT(predicted_costs(c.batch, c.options).cholesky, never);
  c.options.memory_limit = 0.0;
  EXPECT_EQ(predicted_costs(c.batch, c.options).cholesky, never);
  EXPECT_EQ(predicted_costs(c.batch, c.options).choice, Solver::conjugate_gradient);
  c.options.memory_limit.reset();
  c.batch.gradient = c.advantages.data();
  c.batch.advantages = nullptr;
  c.options.damping = 0.0;
  EXPECT_EQ(predicted_costs(c.batch, c.options).gram, never);
  c.options.damping = -1.0;
  EXPECT_THROW(predicted_costs(c.batch, c.options), std::invalid_argument);
}

TEST(Names, AreThoseOfThePythonLayer) {
  EXPECT_EQ(name(Solver::automatic), "auto");
  EXPECT_EQ(name(Solver::cholesky), "cholesky");
  EXPECT_EQ(name(Solver::gram), "gram");
  EXPECT_EQ(name(Solver::conjugate_gradient), "cg");
  EXPECT_EQ(name(Solver::lsmr), "lsmr");
  EXPECT_EQ(name(Precision::automatic), "auto");
  EXPECT_EQ(name(Precision::single_precision), "single");
  EXPECT_EQ(name(Precision::double_precision), "double");
  EXPECT_EQ(name(Precision::mixed), "mixed");
}

TEST_P(Step, AGivenGradientIsSolvedFor) {
  for (const Solver solver : solvers) {
    for (const Shape& shape : {Shape{60, 21}, Shape{21, 60}}) {
      SCOPED_TRACE(text(shape) + ", " + std::string(name(solver)));
      Case c(shape);
      const auto gradient = vector_of<double>(shape.columns, 8);
      c.batch.advantages = nullptr;
      c.batch.gradient = gradient.data();
      c.options.solver = solver;
      const NaturalStep result = natural_step(c.batch, c.options);
      expect_promises(c, result, 1e-12);
      EXPECT_EQ(result.notes.empty(), shape.rows > shape.columns);  // part of it is outside the span of 21 rows
    }
  }
}

TEST_P(Step, PrecisionsReachTheirResiduals) {
  for (const Solver solver : solvers) {
    for (const Shape& shape : {Shape{300, 80}, Shape{80, 300}}) {
      SCOPED_TRACE(text(shape) + ", " + std::string(name(solver)));
      Case c(shape);
      c.options.solver = solver;
      c.options.precision = Precision::mixed;
      expect_promises(c, natural_step(c.batch, c.options), 1e-13);
      if (solver == Solver::conjugate_gradient) continue;
      c.options.precision = Precision::single_precision;
      expect_promises(c, natural_step(c.batch, c.options), 1e-3);
    }
  }
}

TEST_P(Step, SeveralDampingsAreAsManySteps) {
  Case c({60, 21});
  const std::vector<double> dampings{0.5, 1e200, 1e-3};
  const std::vector<NaturalStep> steps = natural_steps(c.batch, dampings, c.options);
  ASSERT_EQ(steps.size(), dampings.size());
  for (std::size_t k = 0; k < steps.size(); ++k) {
    c.options.damping = dampings[k];
    EXPECT_TRUE(same_bits(steps[k].direction, natural_step(c.batch, c.options).direction)) << dampings[k];
  }
  EXPECT_THROW(natural_steps(c.batch, {}, c.options), std::invalid_argument);
  EXPECT_THROW(natural_steps(c.batch, {0.5, -1.0}, c.options), std::invalid_argument);
}

TEST_P(Step, AGradientIsNoLeastSquaresProblem) {
  Case c({60, 21});
  const auto gradient = vector_of<double>(21, 8);
  c.batch.advantages = nullptr;
  c.batch.gradient = gradient.data();
  c.options.solver = Solver::lsmr;
  const NaturalStep result = natural_step(c.batch, c.options);
  EXPECT_EQ(result.solver, Solver::conjugate_gradient);
  EXPECT_EQ(result.notes.size(), 1U);
  expect_promises(c, result, 1e-12);
}

TEST_P(Step, RelativeDampingIsByTheTrace) {
  Case c({30, 12}, true);
  c.options.relative_damping = true;
  long double trace = 0.0L;
  for (Index n = 0; n < 30; ++n) {
    for (Index k = 0; k < 12; ++k) {
      trace += c.weight(n) * static_cast<long double>(value_at(n, k)) * value_at(n, k) / c.total_weight();
    }
  }
  for (const Solver solver : solvers) {
    c.options.solver = solver;
    EXPECT_NEAR(natural_step(c.batch, c.options).damping, static_cast<double>(0.05L * trace / 12), 1e-14);
  }
}

TEST_P(Step, ConjugateGradientsStopWhereAsked) {
  Case c({200, 100});
  c.options.solver = Solver::conjugate_gradient;
  for (const double tolerance : {1e-2, 1e-5, 1e-8}) {
    c.options.tolerance = tolerance;
    EXPECT_LE(natural_step(c.batch, c.options).residual, tolerance);
  }
  c.options.tolerance = 1e-12;
  c.options.max_iterations = 3;
  const NaturalStep cut = natural_step(c.batch, c.options);
  EXPECT_EQ(cut.iterations, 3);
  EXPECT_FALSE(cut.notes.empty());

  c.options.max_iterations.reset();
  const NaturalStep whole = natural_step(c.batch, c.options);
  EXPECT_TRUE(whole.notes.empty());
  c.options.initial = whole.direction.data();
  EXPECT_EQ(natural_step(c.batch, c.options).iterations, 0);
}

TEST_P(Step, BadArgumentsAreNamed) {
  const auto expect_named = [](const Case& c, const char* argument) {
    try {
      natural_step(c.batch, c.options);
      ADD_FAILURE() << "accepted a bad " << argument;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(argument), std::string::npos) << error.what();
    }
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Case c({10, 4});
  c.options.damping = -1.0;
  expect_named(c, "damping");
  c.options.damping = nan;
  expect_named(c, "damping");
  c.options.damping = 0.0;
  c.batch.count = 0.0;
  expect_named(c, "count");
  c.batch.count.reset();
  std::fill(c.weights.begin(), c.weights.end(), 0.0);
  c.batch.weights = c.weights.data();
  expect_named(c, "weights");
  c.batch.weights = nullptr;
  c.batch.gradient = c.advantages.data();
  expect_named(c, "gradient");
  c.batch.advantages = nullptr;
  c.options.solver = Solver::gram;
  expect_named(c, "damping");
  c.batch.gradient = nullptr;
  expect_named(c, "advantages");

  std::vector<double> spoiled(12, 1.0);
  spoiled[7] = nan;
  Case s({3, 4});
  s.batch.scores = row_major<const double>(spoiled.data(), 3, 4);
  expect_named(s, "row 1");
  s.batch.scores = row_major<const double>(spoiled.data(), 0, 4);
  expect_named(s, "scores");
  spoiled[7] = 1e200;
  s.batch.scores = row_major<const double>(spoiled.data(), 3, 4);
  EXPECT_THROW(natural_step(s.batch, s.options), std::overflow_error);
}

TEST_P(Step, EveryBadNumberIsNamed) {
  // Sets something of a good case; what is thrown is std::invalid_argument, and begins with the argument.
  const auto expect_named = [](const char* argument, const std::function<void(Case&)>& spoil) {
    for (const Solver solver : {Solver::automatic, Solver::cholesky, Solver::conjugate_gradient, Solver::lsmr}) {
      SCOPED_TRACE(std::string(argument) + ", " + std::string(name(solver)));
      Case c({10, 4});
      c.options.solver = solver;
      spoil(c);
      try {
        natural_step(c.batch, c.options);
        ADD_FAILURE() << "accepted";
      } catch (const std::invalid_argument& error) {
        EXPECT_EQ(std::string(error.what()).find(std::string(argument) + ": expected "), 0U) << error.what();
      }
    }
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity, -infinity}) {
    SCOPED_TRACE(bad);
    std::vector<double> spoiled(10, 1.0);
    spoiled[3] = bad;
    expect_named("advantages", [&](Case& c) { c.batch.advantages = spoiled.data(); });
    expect_named("advantages", [&](Case& c) {  // of a row that does not count
      c.batch.advantages = spoiled.data();
      c.weights[3] = 0.0;
      c.batch.weights = c.weights.data();
    });
    expect_named("gradient", [&](Case& c) {
      c.batch.advantages = nullptr;
      c.batch.gradient = spoiled.data();
    });
    expect_named("weights", [&](Case& c) { c.batch.weights = spoiled.data(); });
    expect_named("initial", [&](Case& c) { c.options.initial = spoiled.data(); });
    expect_named("previous", [&](Case& c) {
      c.batch.momentum = 0.5;
      c.batch.previous = spoiled.data();
    });
    expect_named("count", [&](Case& c) { c.batch.count = bad; });
    expect_named("damping", [&](Case& c) { c.options.damping = bad; });
    expect_named("max_kl", [&](Case& c) { c.options.max_kl = bad; });
    expect_named("momentum", [&](Case& c) { c.batch.momentum = bad; });
  }
  for (const double bad : {nan, -infinity, -1e-300}) {
    SCOPED_TRACE(bad);
    expect_named("tolerance", [&](Case& c) { c.options.tolerance = bad; });
    expect_named("memory_limit", [&](Case& c) { c.options.memory_limit = bad; });
  }
  for (const double bad : {0.0, -1.0}) {
    expect_named("max_kl", [&](Case& c) { c.options.max_kl = bad; });
    expect_named("count", [&](Case& c) { c.batch.count = bad; });
  }
  for (const double bad : {-0.1, 1.0}) expect_named("momentum", [&](Case& c) { c.batch.momentum = bad; });
  expect_named("max_iterations", [](Case& c) { c.options.max_iterations = -5; });
}

// What comes of good arguments alone is no argument's fault: momentum's gradient may overflow, a given one not.
TEST_P(Step, AnOverflowByMomentumIsNoBadGradient) {
  const std::vector<double> scores{1e10, 1e10}, previous{1e299, 1e299}, gradient{1.0, 1.0};
  Case c({1, 2});
  c.batch.scores = row_major<const double>(scores.data(), 1, 2);
  c.batch.advantages = nullptr;
  c.batch.gradient = gradient.data();
  c.batch.momentum = 0.5;
  c.batch.previous = previous.data();
  EXPECT_THROW(natural_step(c.batch, c.options), std::overflow_error);
  c.batch.momentum = 0.0;
  EXPECT_NO_THROW(natural_step(c.batch, c.options));
}

// Momentum takes products with the batch: not before it has been looked at.
TEST_P(Step, BadArgumentsAreNamedWithMomentumToo) {
  const auto message_of = [](const Case& c) -> std::string {
    try {
      natural_step(c.batch, c.options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no std::invalid_argument";
  };
  const std::vector<double> previous(4, 1.0);
  Case c({10, 4});
  c.batch.momentum = 0.5;
  c.batch.previous = previous.data();
  c.batch.advantages = nullptr;
  EXPECT_EQ(message_of(c).find("advantages, gradient"), 0U) << message_of(c);
  c.batch.advantages = c.advantages.data();
  std::fill(c.weights.begin(), c.weights.end(), -1.0);
  c.batch.weights = c.weights.data();
  EXPECT_EQ(message_of(c).find("weights"), 0U) << message_of(c);
  c.batch.weights = nullptr;

  std::vector<double> spoiled(40, 1.0);
  spoiled[7] = std::numeric_limits<double>::quiet_NaN();
  c.batch.scores = row_major<const double>(spoiled.data(), 10, 4);
  EXPECT_EQ(message_of(c), "scores: expected finite values, row 1 holds NaN or Inf");
  c.batch.scores = c.matrix.view();
  c.batch.previous = spoiled.data() + 4;
  EXPECT_EQ(message_of(c).find("previous"), 0U) << message_of(c);
}

TEST_P(Step, WithoutScoresItIsMomentums) {
  const std::vector<double> zeros(12, 0.0), previous{1.0, -2.0, 3.0, 4.0};
  Case c({3, 4});
  c.batch.scores = row_major<const double>(zeros.data(), 3, 4);
  c.batch.momentum = 0.5;
  c.batch.previous = previous.data();
  const NaturalStep result = natural_step(c.batch, c.options);
  for (std::size_t k = 0; k < previous.size(); ++k) EXPECT_EQ(result.step[k], 0.5 * previous[k]);
  EXPECT_EQ(result.notes.back(),
            "The gradient asks for no change of momentum's direction: the direction is momentum times previous.");
  c.options.max_kl = 0.01;  // which no length of it gives
  EXPECT_EQ(norm(Exact(4, 0.0L)), norm(difference(Exact(4, 0.0L), natural_step(c.batch, c.options).step)));
  EXPECT_NE(natural_step(c.batch, c.options).notes.back().find("the step is zero"), std::string::npos);
}

TEST_P(Step, APollMayStopIt) {
  Case c({300, 300});
  for (const Solver solver : {Solver::cholesky, Solver::gram}) {
    c.options.solver = solver;
    const Context context{2, [] { throw std::runtime_error("interrupted"); }};
    EXPECT_THROW(natural_step(c.batch, c.options, context), std::runtime_error);
  }
}

}  // namespace
}  // namespace fastfisher::testing
