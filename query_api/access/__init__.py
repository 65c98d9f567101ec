"""Who may do what: API keys, tokens of an issuer, rights, projects, and the layer that asks."""
