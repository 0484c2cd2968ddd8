// The whole public C++ API.
#pragma once

#include "fastfisher/affine_actor.hpp"
#include "fastfisher/context.hpp"
#include "fastfisher/fisher.hpp"
#include "fastfisher/linalg.hpp"
#include "fastfisher/natural_step.hpp"
#include "fastfisher/network.hpp"
#include "fastfisher/simd.hpp"
#include "fastfisher/threads.hpp"
#include "fastfisher/views.hpp"
