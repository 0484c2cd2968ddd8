"""The parts of `fastfisher.diagnose`: evidence is gathered first, then read for causes.

spectrum (eigenvalues against rounding) -> samples (what is asked of scores) -> comparison (a matrix against
scores) -> evidence -> mistakes and limits (the causes) -> report -> diagnose, whose function the package
exports under the same name: this folder must not, since the function would hide the module.
"""
