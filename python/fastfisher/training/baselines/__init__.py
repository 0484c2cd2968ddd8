"""Value baselines: what advantages are measured against."""
