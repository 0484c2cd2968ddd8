"""Runs of the command line: their folders, logs, curves and what the terminal shows."""
