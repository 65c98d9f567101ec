"""How the scorer of circles:2 is trained: from rendered scenes and annotated photographs."""
