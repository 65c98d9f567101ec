"""Rendered camera scenes whose circles are known exactly: for tests, demos, load and training."""

from detector.scenes.hard import HardScene, render_hard
from detector.scenes.plain import MAX_DISCS, Scene, render
from detector.scenes.thin import render_thin

__all__ = ["MAX_DISCS", "HardScene", "Scene", "render", "render_hard", "render_thin"]
