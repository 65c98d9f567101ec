"""Materializers killed at every step of a commit, and what the view is then."""
