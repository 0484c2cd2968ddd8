// For a test of the test: see layers.py.  Never compiled.
#include "scores/blocks.hpp"
