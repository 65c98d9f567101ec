"""Model circles:1: EdgeDrawing and a Hough transform, scored by a formula over the rim."""
