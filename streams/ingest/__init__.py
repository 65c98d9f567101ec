"""Ways in: how images reach the log."""
