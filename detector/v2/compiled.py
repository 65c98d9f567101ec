"""Loops in machine code, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

Floats: TypeAlias = NDArray[np.float32]
Packed: TypeAlias = NDArray[np.uint32]
"""(H, W), the three bytes of a pixel in one number, the first plane lowest."""
Real: TypeAlias = float | np.floating[Any]
"""A number in compiled code: 32 bits once it met a 32-bit one."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile with numba at the first call, or read from its cache; threads run it in parallel.

    The machine code checks no bounds and divides by zero to infinity. Callees are always inlined: called
    out of line, a fresh process links their own optimised code and one that reads the cache another copy,
    and with sums reordered the two differ in the last bit. numba compiles anew when the function's own
    file changes, not when a constant or function that it takes from another file does: then delete
    `__pycache__`.
    """
    return cast(
        "Callable[P, R]",
        numba.njit(
            cache=True,
            nogil=True,
            error_model="numpy",
            forceinline=True,
            fastmath={"contract", "reassoc", "nsz"},
        )(function),
    )


@compiled
def plane(pixel: np.uint32, shift: np.uint32) -> Real:
    """One plane of a packed pixel: 8 bits from a shift of 0, 8 or 16."""
    return np.float32(np.int32((pixel >> shift) & np.uint32(255)))
