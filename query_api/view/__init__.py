"""The view as the API reads it: a window of its newest images in memory, and the lake for all else."""
