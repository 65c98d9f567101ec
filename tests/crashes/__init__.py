"""Materializers killed at every step of a commit, all who take part in replays, and what the view is then."""
