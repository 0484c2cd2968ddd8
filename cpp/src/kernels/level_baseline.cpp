#define FASTFISHER_LEVEL baseline
#include "kernels.inl"
