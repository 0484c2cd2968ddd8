// For a test of the test: see layers.py.  Never compiled.
#include "step/plan.hpp"
