"""The dataflow: one file per stage, named by its verb."""
