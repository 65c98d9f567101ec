"""Histories of clients of several API processes that are killed, and whether reads in them are linear."""
