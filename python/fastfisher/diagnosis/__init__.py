"""The parts of `fastfisher.diagnose`: evidence is gathered first, then read for causes.

spectrum (eigenvalues against rounding), parameters (dead, duplicated, badly scaled), samples (what is asked
of scores), comparison (a matrix against scores) -> evidence -> mistakes, limits -> causes -> report.
"""
