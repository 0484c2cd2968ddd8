"""Environments: how one is made, prepared and drawn."""
