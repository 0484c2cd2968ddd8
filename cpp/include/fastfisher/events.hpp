// Events say what happened on the way to a step: decisions read the code and its numbers, people read the sentence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fastfisher/solver.hpp"

namespace fastfisher {

enum class EventCode {
  chosen,                 // solver "auto" chose by what it expects of each
  chosen_for_sums,        // the same, where only sums of the rows are kept
  preconditioned,         // by a sample of the rows
  trial_stopped,          // CG on trial promised to cost more than a factorisation
  given_up,               // CG for the direct solver that the event names
  lsmr_needs_advantages,  // CG ran in the place of LSMR
  lsmr_chosen,            // LSMR ran in the place of CG, whose condition is too bad for it
  lsmr_went_on,           // from where CG met the limit of the arithmetic
  iterations_went_on,     // from the solution of a direct solver, or in its place
  lsmr_is_double,         // single precision was asked of it
  products_out_of_range,  // of single precision
  mixed_refused_by_trace,
  mixed_refused_by_eigenvalue,
  products_widened,  // from single precision to double
  iteration_limit,
  stagnated,  // the limit of the arithmetic
  reduced_to_band,
  jittered,
  clamped,
  gram_singular,
  indefinite,  // no Cholesky factor in double, even with jitter
  over_memory,
  mixed_stagnated,
  mixed_indefinite,
  zero_gradient,
  momentum_kept,
  no_sample_weights,
  sample_weights_missed,  // the direction, and were left out
  outside_span,
  no_step_length,
  kl_exceeded,          // the predicted one is above what was asked for
  residual_of_matrix,   // an iterator gave its rows only once
  second_pass_changed,  // an iterator gave other rows the second time
  untrusted,
};

// An event is a code, the solver that it happened to, and the numbers that belong to it.
struct Event {
  EventCode code;
  Solver solver = Solver::automatic;
  std::vector<double> numbers = {};  // named by number_names(code), in their order
};

std::string_view name(EventCode code) noexcept;
const std::vector<std::string_view>& number_names(EventCode code) noexcept;

// Returns the event as a plain sentence.  No other place makes one.
std::string sentence(const Event& event);

}  // namespace fastfisher
