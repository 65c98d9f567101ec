"""Clients that others wrote, against the model server."""
