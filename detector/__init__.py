"""Circle detection: a pure function, its versions, and their server. Knows nothing else here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detector.circles import CIRCLE, Circles

if TYPE_CHECKING:
    from detector.models import detect

__all__ = ["CIRCLE", "Circles", "detect"]


def __getattr__(name: str) -> Any:
    # With what it is compiled of it takes a second to import, and who only reads images has no use for it.
    if name == "detect":
        from detector.models import detect

        return detect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
