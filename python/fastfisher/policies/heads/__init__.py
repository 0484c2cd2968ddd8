"""Distributions of actions: what a policy's features are turned into."""
