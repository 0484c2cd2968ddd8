#include "fastfisher/events.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "step/solver_table.hpp"

namespace fastfisher {
namespace {

std::string text(const char* format, double value) {
  char written[64];
  std::snprintf(written, sizeof(written), format, value);
  return written;
}

std::string whole(double value) { return text("%.0f", value); }
std::string short_number(double value) { return text("%.1e", value); }

// Writes a cost, which is in operations.
std::string gigaflops(double operations) {
  return text(operations < 1e8 ? "%.2g" : "%.3g", operations / 1e9) + " GFLOP";
}

std::string in_words(const Event& event) { return std::string(detail::row_of(event.solver).in_words); }

std::string residual_of_tolerance(double residual, double tolerance) {
  return short_number(residual) + " of the tolerance " + short_number(tolerance);
}

// Says which damping a factor with a jitter or with raised eigenvalues would have needed; zero: no bound is known.
std::string guarantee(double damping) {
  return damping > 0.0 ? " A damping of " + short_number(damping) + " or more is sure to need none." : "";
}

std::string chosen(const Event& event) {
  const double cholesky = event.numbers[0], gram = event.numbers[1], iteration = event.numbers[2],
               sampled = event.numbers[3], dual_possible = event.numbers[4];
  const auto option = [](double cost, const char* otherwise) {
    return std::isfinite(cost) ? gigaflops(cost) : std::string(otherwise);
  };
  return "auto chose " + std::string(name(event.solver)) + ": cholesky " + option(cholesky, "does not fit in memory") +
         ", gram " + option(gram, dual_possible > 0.0 ? "does not fit in memory" : "needs damping") + ", cg " +
         gigaflops(iteration) + " an iteration" +
         (sampled > 0.0 ? " or " + gigaflops(sampled) + " with a preconditioner" : "") + ".";
}

std::string untrusted(const Event& event) {
  const bool iterative = detail::row_of(event.solver).iterative, second_pass = event.numbers[2] > 0.0;
  const bool single = event.numbers[4] > 0.0;
  return "The residual is " + short_number(event.numbers[0]) + ": " +
         (iterative ? in_words(event) + " did not solve the system" : "the system is singular to rounding") +
         (second_pass ? ", or a second pass gave other rows than the first;" : ", and") +
         " the direction is not to be trusted; " + (single ? "use double precision or " : "") + "increase damping" +
         (event.numbers[3] > 0.0 ? " or max_iterations." : ".");
}

struct Row {
  EventCode code;
  const char* name;
  std::vector<std::string_view> numbers;
  std::string (*sentence)(const Event&);
};

// The table has one row a code, in the order of the enumeration.
const std::vector<Row>& rows() {
  static const std::vector<Row> table{
      {EventCode::chosen,
       "chosen",
       {"cholesky", "gram", "cg_iteration", "cg_preconditioned", "dual_possible"},
       [](const Event& e) { return chosen(e); }},
      {EventCode::chosen_for_sums,
       "chosen_for_sums",
       {},
       [](const Event& e) {
         return "auto chose " + std::string(name(e.solver)) + ": of an iterator's rows only sums are kept.";
       }},
      {EventCode::preconditioned,
       "preconditioned",
       {"rows"},
       [](const Event& e) {
         return in_words(e) + " was preconditioned by a sample of " + whole(e.numbers[0]) + " rows.";
       }},
      {EventCode::trial_stopped,
       "trial_stopped",
       {"iterations", "promised"},
       [](const Event& e) {
         return in_words(e) + " was stopped after " + whole(e.numbers[0]) + " iterations, which promised about " +
                whole(e.numbers[1]) + " in all.";
       }},
      {EventCode::given_up,
       "given_up",
       {},
       [](const Event& e) { return "CG was given up for " + std::string(name(e.solver)) + "."; }},
      {EventCode::lsmr_needs_advantages,
       "lsmr_needs_advantages",
       {},
       [](const Event&) {
         return std::string("LSMR needs advantages: a gradient is not of least squares; CG was used.");
       }},
      {EventCode::lsmr_chosen,
       "lsmr_chosen",
       {},
       [](const Event&) {
         return std::string("LSMR took the place of CG, since the trace of F is above 1e8 times the damping.");
       }},
      {EventCode::lsmr_went_on,
       "lsmr_went_on",
       {"residual", "tolerance"},
       [](const Event& e) {
         return "CG met the limit of the arithmetic with residual " +
                residual_of_tolerance(e.numbers[0], e.numbers[1]) + "; LSMR went on from there.";
       }},
      {EventCode::iterations_went_on,
       "iterations_went_on",
       {"residual"},
       [](const Event& e) {
         return "The factor left a residual of " + short_number(e.numbers[0]) + "; " + in_words(e) + " went on.";
       }},
      {EventCode::lsmr_is_double,
       "lsmr_is_double",
       {},
       [](const Event&) { return std::string("LSMR is for what single precision cannot do; double was used."); }},
      {EventCode::products_out_of_range,
       "products_out_of_range",
       {},
       [](const Event&) { return std::string("The products leave the range of single precision; double was used."); }},
      {EventCode::mixed_refused_by_trace,
       "mixed_refused_by_trace",
       {},
       [](const Event&) {
         return std::string(
             "Mixed precision was refused: the trace of F over the damping is above 1e7; double was used.");
       }},
      {EventCode::mixed_refused_by_eigenvalue,
       "mixed_refused_by_eigenvalue",
       {},
       [](const Event&) {
         return std::string(
             "Mixed precision was refused: the largest eigenvalue over the damping is near or above 1e7; double was "
             "used.");
       }},
      {EventCode::products_widened,
       "products_widened",
       {"residual"},
       [](const Event& e) {
         return "Products in single precision carried CG to a residual of " + short_number(e.numbers[0]) +
                "; it went on in double.";
       }},
      {EventCode::iteration_limit,
       "iteration_limit",
       {"iterations", "residual", "tolerance"},
       [](const Event& e) {
         return in_words(e) + " stopped at " + whole(e.numbers[0]) + " iterations with residual " +
                residual_of_tolerance(e.numbers[1], e.numbers[2]) + ".";
       }},
      {EventCode::stagnated,
       "stagnated",
       {"residual", "tolerance"},
       [](const Event& e) {
         return in_words(e) + " met the limit of the arithmetic with residual " +
                residual_of_tolerance(e.numbers[0], e.numbers[1]) + ".";
       }},
      {EventCode::reduced_to_band,
       "reduced_to_band",
       {},
       [](const Event&) {
         return std::string("The matrix was reduced to a band once, which every damping then factored.");
       }},
      {EventCode::jittered,
       "jittered",
       {"relative_jitter", "sufficient_damping"},
       [](const Event& e) {
         return "The damping is below the rounding of the matrix, whose Cholesky factor broke down; a jitter of " +
                short_number(e.numbers[0]) + " times its largest diagonal entry was added to the factored matrix." +
                guarantee(e.numbers[1]);
       }},
      {EventCode::clamped,
       "clamped",
       {"raised", "size", "relative_bound", "sufficient_damping"},
       [](const Event& e) {
         return "Rounding has left the matrix indefinite beyond a jitter; " + whole(e.numbers[0]) + " of its " +
                whole(e.numbers[1]) + " eigenvalues were below the bound on its rounding, " +
                short_number(e.numbers[2]) + " times the largest, and were raised to that." + guarantee(e.numbers[3]);
       }},
      {EventCode::gram_singular,
       "gram_singular",
       {},
       [](const Event&) { return std::string("Without damping the Gram matrix is singular; CG was used."); }},
      {EventCode::indefinite,
       "indefinite",
       {},
       [](const Event&) {
         return std::string("The matrix has no Cholesky factor in double, even with jitter; CG was used.");
       }},
      {EventCode::over_memory,
       "over_memory",
       {},
       [](const Event& e) {
         return "The matrix in double takes more than the memory limit; " + in_words(e) + " was used.";
       }},
      {EventCode::mixed_stagnated,
       "mixed_stagnated",
       {},
       [](const Event&) {
         return std::string("Mixed precision stopped gaining; the matrix was factored again in double.");
       }},
      {EventCode::mixed_indefinite,
       "mixed_indefinite",
       {},
       [](const Event&) {
         return std::string("The matrix has no single-precision Cholesky factor; it was factored again in double.");
       }},
      {EventCode::zero_gradient,
       "zero_gradient",
       {"of_rounding"},
       [](const Event& e) {
         return std::string("The gradient is zero") +
                (e.numbers[0] > 0.0 ? " to the rounding of the sums that make it" : "") + ", and so is the step.";
       }},
      {EventCode::momentum_kept,
       "momentum_kept",
       {},
       [](const Event&) {
         return std::string(
             "The gradient asks for no change of momentum's direction: the direction is momentum times previous.");
       }},
      {EventCode::no_sample_weights,
       "no_sample_weights",
       {},
       [](const Event& e) {
         return "Without damping " + in_words(e) + " does not find sample weights; they are left out.";
       }},
      {EventCode::sample_weights_missed,
       "sample_weights_missed",
       {"miss"},
       [](const Event& e) {
         return "The sample weights would miss the direction by " + short_number(e.numbers[0]) +
                " of its norm; they are left out.";
       }},
      {EventCode::outside_span,
       "outside_span",
       {"share"},
       [](const Event& e) {
         return whole(100.0 * e.numbers[0]) +
                "% of the gradient (in norm) lies outside the span of the scores or where their curvature is "
                "below the damping: there the step is gradient / damping.";
       }},
      {EventCode::no_step_length,
       "no_step_length",
       {"with_momentum"},
       [](const Event& e) {
         return std::string(e.numbers[0] > 0.0 ? "direction^T F" : "gradient^T") +
                " direction is not positive: no step length gives the KL; the step is zero.";
       }},
      {EventCode::kl_exceeded,
       "kl_exceeded",
       {"predicted", "asked"},
       [](const Event& e) {
         return "The direction does not solve the system to rounding: its predicted KL of " +
                short_number(e.numbers[0]) + " is above the " + short_number(e.numbers[1]) +
                " that was asked for; increase damping.";
       }},
      {EventCode::residual_of_matrix,
       "residual_of_matrix",
       {},
       [](const Event&) {
         return std::string(
             "The residual was measured in float64 against the accumulated matrix: an iterator gives its rows only "
             "once.");
       }},
      {EventCode::second_pass_changed,
       "second_pass_changed",
       {"rows", "first_rows"},
       [](const Event& e) {
         return "The residual was measured in float64 against the accumulated matrix: a second pass gave " +
                whole(e.numbers[0]) + " rows, the first " + whole(e.numbers[1]) + ".";
       }},
      {EventCode::untrusted,
       "untrusted",
       {"residual", "trusted", "second_pass", "cut", "single"},
       [](const Event& e) { return untrusted(e); }},
  };
  return table;
}

const Row& row_of(EventCode code) { return rows()[static_cast<std::size_t>(code)]; }

}  // namespace

std::string_view name(EventCode code) noexcept { return row_of(code).name; }

const std::vector<std::string_view>& number_names(EventCode code) noexcept { return row_of(code).numbers; }

std::string sentence(const Event& event) { return row_of(event.code).sentence(event); }

}  // namespace fastfisher
