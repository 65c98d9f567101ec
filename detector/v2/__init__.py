"""Model circles:2: candidates by voting and by arcs, rims traced, scored by learned trees."""
