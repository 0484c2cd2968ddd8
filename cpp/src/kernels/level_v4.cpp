#define FASTFISHER_LEVEL v4
#include "kernels.inl"
