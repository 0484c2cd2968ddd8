// The whole public C++ API.
#pragma once

#include "fastfisher/context.hpp"
#include "fastfisher/fisher.hpp"
#include "fastfisher/linalg.hpp"
#include "fastfisher/natural_step.hpp"
#include "fastfisher/network.hpp"
#include "fastfisher/network_actor.hpp"
#include "fastfisher/simd.hpp"
#include "fastfisher/threads.hpp"
#include "fastfisher/value_features.hpp"
#include "fastfisher/views.hpp"
