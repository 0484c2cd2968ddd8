// How many threads a call uses when its Context does not say.
#pragma once

namespace fastfisher {

// In order of precedence: set_default_num_threads, the environment's FASTFISHER_NUM_THREADS, and what the process
// may use (its affinity mask, its control group's CPU quota).
int default_num_threads() noexcept;

// 0 returns to the environment's choice.
void set_default_num_threads(int threads) noexcept;

// Processors this process may use: its affinity mask cut to the quota of its control group, or of one that this lies
// in, rounded up; at least 1.
int usable_processors() noexcept;

}  // namespace fastfisher
