"""Suites of training runs: their rows, how one seed is run, how results are kept and shown."""
