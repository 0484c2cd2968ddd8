"""Suites of training runs: what is trained, how one seed of it is run, and how its results are kept and shown."""
