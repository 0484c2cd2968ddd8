#define FASTFISHER_LEVEL generic
#include "kernels.inl"
