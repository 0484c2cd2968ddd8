#define FASTFISHER_LEVEL v3
#include "kernels.inl"
