"""Rollouts: how a batch of episodes is collected."""
