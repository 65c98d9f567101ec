"""How good a model is on annotated images: one ruler for every model, here or behind a server."""
