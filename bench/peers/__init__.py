"""Other ways to fold the same log, each a process of its own with nothing of ours but `tables`."""
