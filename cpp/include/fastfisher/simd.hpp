// One of the compiled instruction-set levels runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastfisher {

// Returns the levels that were compiled in and that this machine can run, narrowest first: of "baseline", "v3", "v4"
// (the x86-64 psABI's), or "generic" elsewhere.
std::vector<std::string_view> available_simd_levels();

// Returns the level in use: the environment's FASTFISHER_SIMD when the library is first used, else the widest
// available. That first use, this or any other that computes, throws std::invalid_argument, naming the choices, for an
// unknown or unsupported one, and so does the next until it is put right.
std::string_view simd_level();

// Forces a level for the whole process.  This is meant for tests and benchmarks, while no other call runs.
// Throws std::invalid_argument, naming the choices, for an unknown or unsupported one.
void set_simd_level(std::string_view name);

}  // namespace fastfisher
