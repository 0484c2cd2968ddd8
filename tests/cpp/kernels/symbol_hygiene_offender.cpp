// Everything that a kernel object must not hold, for a test of the test: see symbol_hygiene.py.  Never run.
#include <cstdlib>

// Weak, and outside every level's namespace.
template <class Real>
[[gnu::noinline]] Real offending_template(Real value) {
  return value * value + 1;
}

// Runs at load.
float offending_initialiser = offending_template(static_cast<float>(std::atoi("1")));

// Wide registers.
void offending_sum(float* to, const float* from) {
  using Wide [[gnu::vector_size(64), gnu::aligned(4), gnu::may_alias]] = float;
  *reinterpret_cast<Wide*>(to) += *reinterpret_cast<const Wide*>(from);
}

// Bytecode for link-time optimisation, or what names itself so.
__asm__(".section .gnu.lto_offending,\"\",@progbits\n\t.byte 0\n\t.text");
