// These say how many threads a call uses when its Context does not.
#pragma once

namespace fastfisher {

// Returns, in order of precedence, what comes from set_default_num_threads, the environment's FASTFISHER_NUM_THREADS
// and OMP_NUM_THREADS (of a list its first number), and what the process may use (its affinity mask, its control
// group's CPU quota).
int default_num_threads() noexcept;

// Sets the number; 0 returns to the environment's choice.
void set_default_num_threads(int threads) noexcept;

// Returns the processors that this process may use: its affinity mask cut to the quota of its control group, or of one
// that this lies in, rounded up; at least 1.
int usable_processors() noexcept;

}  // namespace fastfisher
