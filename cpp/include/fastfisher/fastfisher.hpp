// The whole public C++ API.
#pragma once

#include "fastfisher/context.hpp"
#include "fastfisher/errors.hpp"
#include "fastfisher/events.hpp"
#include "fastfisher/fisher.hpp"
#include "fastfisher/index.hpp"
#include "fastfisher/linalg.hpp"
#include "fastfisher/natural_step.hpp"
#include "fastfisher/network.hpp"
#include "fastfisher/network_actor.hpp"
#include "fastfisher/simd.hpp"
#include "fastfisher/solver.hpp"
#include "fastfisher/step_types.hpp"
#include "fastfisher/threads.hpp"
#include "fastfisher/value_features.hpp"
#include "fastfisher/views.hpp"
