// For a test of the test: see layers.py.  Never compiled.
#include "factor/symmetric_factor.hpp"
