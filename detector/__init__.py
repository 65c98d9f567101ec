"""Circle detection: a pure function, its versions, and their server. Knows nothing else here."""

from detector.circles import CIRCLE, Circles
from detector.models import detect

__all__ = ["CIRCLE", "Circles", "detect"]
