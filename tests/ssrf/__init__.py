"""Uploads by URL against those who would have this machine fetch what only it can reach."""
