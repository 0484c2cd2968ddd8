// The ladder of solvers, its events, and the steps of what is only summed.
#include "step/ladder.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "fastfisher/fisher.hpp"
#include "fastfisher/natural_step.hpp"
#include "step/solver_table.hpp"
#include "support.hpp"

namespace fastfisher::testing {
namespace {

class Rungs : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Rungs);

bool tells(const NaturalStep& step, EventCode code) {
  return std::any_of(step.events.begin(), step.events.end(), [code](const Event& event) { return event.code == code; });
}

// Rows of columns that fall from one to `least`, each row twice where asked.
std::vector<double> graded(Index rows, Index columns, double least, bool twice = false) {
  std::vector<double> scores = vector_of<double>(rows * columns, 11);
  for (Index n = 0; n < rows; ++n) {
    for (Index k = 0; k < columns; ++k) {
      const double grade =
          std::pow(least, static_cast<double>(k) / static_cast<double>(std::max<Index>(columns - 1, 1)));
      const Index from = twice ? n % (rows / 2) : n;
      scores[static_cast<std::size_t>(n * columns + k)] =
          from == n ? scores[static_cast<std::size_t>(n * columns + k)] * grade
                    : scores[static_cast<std::size_t>(from * columns + k)];
    }
  }
  return scores;
}

struct Rows {
  std::vector<double> scores, advantages;
  Batch batch;
  StepOptions options;

  Rows(Index rows, Index columns, double least, bool twice = false)
      : scores(graded(rows, columns, least, twice)), advantages(vector_of<double>(rows, 5)) {
    batch.scores = row_major<const double>(scores.data(), rows, columns);
    batch.advantages = advantages.data();
  }
};

TEST(SolverTable, HasARowForEachSolverInOrder) {
  std::set<std::string_view> names;
  for (const Solver solver : fastfisher::solvers()) {
    const detail::SolverRow& row = detail::row_of(solver);
    EXPECT_EQ(row.solver, solver);
    EXPECT_EQ(row.name, name(solver));
    EXPECT_EQ(row.attempt == nullptr, solver == Solver::automatic);
    names.insert(row.name);
  }
  EXPECT_EQ(names.size(), fastfisher::solvers().size());
}

TEST(Events, EachCodeHasANameAndASentenceOfItsNumbers) {
  std::set<std::string_view> names;
  for (int k = 0; k <= static_cast<int>(EventCode::untrusted); ++k) {
    const auto code = static_cast<EventCode>(k);
    Event event{code, Solver::conjugate_gradient};
    event.numbers.assign(number_names(code).size(), 3.0);
    EXPECT_FALSE(name(code).empty());
    EXPECT_GT(sentence(event).size(), 20U) << name(code);
    names.insert(name(code));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(EventCode::untrusted) + 1);
}

// CG after a factor that failed was a trial, too, and gave up at a residual of 0.1.
TEST_P(Rungs, TheLastOneIsNoTrial) {
  Rows rows(120, 300, 1e-4, true);
  rows.options.damping = 0.0;
  const NaturalStep step = natural_step(rows.batch, rows.options);
  EXPECT_LE(step.residual, 1e-8);
  EXPECT_TRUE(tells(step, EventCode::gram_singular));
  EXPECT_FALSE(tells(step, EventCode::trial_stopped));
}

// Where the trial has the better residual after all, its end was told twice.
TEST_P(Rungs, TheEndOfATrialIsToldOnce) {
  Rows rows(60, 12, 1.0);
  const Context context;
  const detail::NormalSystem system(rows.batch.scores, nullptr, 1.0, nullptr, context);
  detail::Workspace workspace;
  workspace.system = workspace.rows = &system;
  workspace.b = vector_of<double>(12, 3);
  workspace.start.assign(12, 0.0);
  workspace.samples = 60;
  workspace.parameters = 12;
  workspace.product_scale = 60.0;
  workspace.tolerance = 0.0;  // which CG cannot meet
  detail::Plan plan;
  plan.automatic = true;
  plan.asked = Precision::single_precision;  // of the factor, which is the worse one then
  plan.choice.direct = Solver::cholesky;
  plan.choice.affordable = 1e6;
  plan.choice.patience = 1000;
  plan.first = {.solver = Solver::conjugate_gradient, .precision = Precision::double_precision, .trial = true};
  std::vector<Event> events;
  const detail::Outcome outcome = detail::solve(workspace, plan, events);
  EXPECT_EQ(outcome.solver, Solver::conjugate_gradient);
  std::vector<EventCode> codes;
  for (const Event& event : events) codes.push_back(event.code);
  EXPECT_EQ(codes, (std::vector<EventCode>{EventCode::stagnated, EventCode::given_up}));
}

TEST_P(Rungs, WhereDoubleDoesNotFitTheOtherMatrixOrCGIsNext) {
  Rows rows(100, 140, 1e-3);
  rows.options.damping = 1e-10;
  rows.options.precision = Precision::mixed;
  rows.options.memory_limit = 100.0 * 100.0 * 6.0;  // in single precision only
  const NaturalStep iterated = natural_step(rows.batch, rows.options);
  EXPECT_TRUE(tells(iterated, EventCode::over_memory));
  EXPECT_TRUE(iterated.solver == Solver::conjugate_gradient || iterated.solver == Solver::lsmr);
  EXPECT_LE(iterated.residual, 1e-8);

  Rows tall(140, 100, 1e-3);  // auto takes cholesky, 100 x 100, in double where it fits
  tall.options = rows.options;
  tall.options.memory_limit = 100.0 * 100.0 * 8.0;
  EXPECT_EQ(natural_step(tall.batch, tall.options).solver, Solver::cholesky);
}

TEST_P(Rungs, AMatrixOfNothingIsRefusedOnceAllHaveFailed) {
  const std::vector<double> zeros(12, 0.0), gradient{1.0, -2.0, 3.0};
  Batch batch;
  batch.scores = row_major<const double>(zeros.data(), 4, 3);
  batch.gradient = gradient.data();
  StepOptions options;
  options.damping = 0.0;
  EXPECT_THROW(natural_step(batch, options), NotPositiveDefinite);
  options.solver = Solver::cholesky;
  EXPECT_THROW(natural_step(batch, options), NotPositiveDefinite);
}

TEST_P(Rungs, OneRuleSaysWhatIsNotToBeTrusted) {
  const std::vector<double> gradient(6, 1.0);
  Rows rows(3, 6, 1.0);
  rows.batch.advantages = nullptr;
  rows.batch.gradient = gradient.data();
  rows.options.damping = 0.0;
  for (const Solver solver : {Solver::automatic, Solver::cholesky, Solver::conjugate_gradient, Solver::lsmr}) {
    rows.options.solver = solver;
    const NaturalStep step = natural_step(rows.batch, rows.options);
    EXPECT_TRUE(tells(step, EventCode::untrusted)) << name(solver) << " " << step.residual;
    ASSERT_EQ(step.notes.size(), step.events.size());
    for (std::size_t k = 0; k < step.notes.size(); ++k) EXPECT_EQ(step.notes[k], sentence(step.events[k]));
  }
  // What was asked for is to be trusted.
  Rows good(60, 20, 1e-2);
  good.options.damping = 1e-3;
  good.options.solver = Solver::conjugate_gradient;
  good.options.max_iterations = 3;
  EXPECT_FALSE(tells(natural_step(good.batch, good.options), EventCode::untrusted));
  good.options.max_iterations.reset();
  good.options.tolerance = 0.1;
  EXPECT_FALSE(tells(natural_step(good.batch, good.options), EventCode::untrusted));
}

// CG went on along what F takes to nothing, to steps of 1e15.
TEST_P(Rungs, CGKeepsItsBestIterate) {
  const std::vector<double> gradient(6, 1.0);
  Rows rows(3, 6, 1.0);
  rows.batch.advantages = nullptr;
  rows.batch.gradient = gradient.data();
  rows.options.damping = 0.0;
  rows.options.solver = Solver::conjugate_gradient;
  for (const std::optional<Index>& most : {std::optional<Index>(), std::optional<Index>(40)}) {
    rows.options.max_iterations = most;
    EXPECT_LE(natural_step(rows.batch, rows.options).residual, most.has_value() ? 100.0 : 1.0);
  }
}

AccumulatedBatch accumulated(const Fisher& fisher, const std::vector<double>& gradient) {
  AccumulatedBatch batch;
  batch.fisher = &fisher;
  batch.gradient = gradient.data();
  return batch;
}

TEST_P(Rungs, AnAccumulatedMatrixTakesTheStepOfItsRows) {
  Rows rows(90, 40, 1e-2);
  const auto weights = weights_of(90);
  const auto gradient = vector_of<double>(40, 9), previous = vector_of<double>(40, 3);
  rows.batch.advantages = nullptr;
  rows.batch.gradient = gradient.data();
  rows.batch.weights = weights.data();
  Fisher fisher(40);
  fisher.update(rows.batch.scores.middle_rows(0, 30), weights.data());
  fisher.update(rows.batch.scores.middle_rows(30, 60), weights.data() + 30);
  for (const bool with_momentum : {false, true}) {
    for (const std::optional<double>& count : {std::optional<double>(), std::optional<double>(17.0)}) {
      AccumulatedBatch batch = accumulated(fisher, gradient);
      rows.batch.count = batch.count = count;
      rows.batch.momentum = batch.momentum = with_momentum ? 0.5 : 0.0;
      rows.batch.previous = batch.previous = with_momentum ? previous.data() : nullptr;
      rows.options.damping = 1e-2;
      rows.options.max_kl = 0.01;
      const NaturalStep expected = natural_step(rows.batch, rows.options);
      const std::vector<NaturalStep> steps = natural_steps(batch, {1e-2, 1.0}, rows.options);
      ASSERT_EQ(steps.size(), 2U);
      EXPECT_LT(steps[0].residual, 1e-12);
      for (std::size_t k = 0; k < 40; ++k) {
        EXPECT_NEAR(steps[0].step[k], expected.step[k], 1e-9 * detail::norm(expected.step));
      }
      EXPECT_NEAR(steps[0].predicted_kl, expected.predicted_kl, 1e-9);
      EXPECT_NEAR(steps[0].predicted_improvement, expected.predicted_improvement,
                  1e-9 * std::fabs(expected.predicted_improvement));
      EXPECT_TRUE(tells(steps[0], EventCode::chosen_for_sums));
    }
  }
}

TEST_P(Rungs, RowsThatCanBeReadAgainMeasureTheResidual) {
  Rows rows(50, 10, 1.0);
  const auto gradient = vector_of<double>(10, 9);
  Fisher fisher(10);
  fisher.update(rows.batch.scores, nullptr);
  AccumulatedBatch batch = accumulated(fisher, gradient);
  batch.multiply = [](const auto& directions, auto& products) -> std::optional<Event> {
    for (std::size_t k = 0; k < directions.size(); ++k) products[k] = std::vector<double>(directions[k].size(), 0.0);
    return std::nullopt;  // other rows: zeros
  };
  const NaturalStep other = natural_steps(batch, {1e-2}).front();
  EXPECT_TRUE(tells(other, EventCode::untrusted));
  batch.multiply = [](const auto&, auto&) {
    return std::optional<Event>({EventCode::second_pass_changed, Solver::cholesky, {3.0, 50.0}});
  };
  const NaturalStep changed = natural_steps(batch, {1e-2}).front();
  EXPECT_TRUE(tells(changed, EventCode::second_pass_changed));
  EXPECT_LT(changed.residual, 1e-12);
}

// Each of these ran Cholesky in double, or CG, without a word.
TEST_P(Rungs, SumsRefuseWhatTheyCannotDo) {
  Rows rows(50, 10, 1.0);
  const auto gradient = vector_of<double>(10, 9);
  Fisher fisher(10);
  fisher.update(rows.batch.scores, nullptr);
  const AccumulatedBatch batch = accumulated(fisher, gradient);
  for (const Solver solver : {Solver::gram, Solver::conjugate_gradient, Solver::lsmr}) {
    StepOptions options;
    options.solver = solver;
    EXPECT_THROW(natural_steps(batch, {1e-2}, options), std::invalid_argument);
  }
  for (const Precision precision : {Precision::single_precision, Precision::mixed}) {
    StepOptions options;
    options.precision = precision;
    EXPECT_THROW(natural_steps(batch, {1e-2}, options), std::invalid_argument);
  }
  StepOptions options;
  options.memory_limit = 100.0;  // bytes
  EXPECT_EQ(natural_steps(batch, {1e-2}, options).front().solver, Solver::conjugate_gradient);
  options.solver = Solver::cholesky;
  EXPECT_THROW(natural_steps(batch, {1e-2}, options), MemoryLimitExceeded);
}

TEST_P(Rungs, SeveralRightHandSidesShareAFactor) {
  Rows rows(90, 30, 1e-3);
  Fisher fisher(30);
  fisher.update(rows.batch.scores, nullptr);
  const auto right = vector_of<double>(90, 4);
  std::vector<double> together = right;
  fisher.solve(together.data(), 3, 1e-4);
  for (Index j = 0; j < 3; ++j) {
    std::vector<double> alone(right.begin() + j * 30, right.begin() + (j + 1) * 30);
    fisher.solve(alone.data(), 1, 1e-4);
    EXPECT_TRUE(same_bits(alone, std::vector<double>(together.begin() + j * 30, together.begin() + (j + 1) * 30)));
  }
}

TEST_P(Rungs, ASumIsSolvedAsItWasThoughRowsAreAdded) {
  constexpr Index d = 150;
  Rows rows(d, d, 1e-2);
  Fisher fisher(d);
  fisher.update(rows.batch.scores, nullptr);
  const auto right = vector_of<double>(d, 4);
  std::vector<double> expected = right, found = right;
  fisher.solve(expected.data(), 1, 1e-3);
  std::thread adding;
  const Context context{1, [&] {
                          if (!adding.joinable())
                            adding = std::thread([&] { fisher.update(rows.batch.scores, nullptr); });
                        }};
  std::this_thread::sleep_for(std::chrono::milliseconds(60));  // the first poll is then at once
  fisher.solve(found.data(), 1, 1e-3, context);
  if (adding.joinable()) adding.join();
  EXPECT_TRUE(same_bits(expected, found));
  EXPECT_EQ(fisher.count() % d, 0);
}

}  // namespace
}  // namespace fastfisher::testing
