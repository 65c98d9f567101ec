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
Real: TypeAlias = float | np.floating[Any]
"""A number in compiled code: 32 bits once it met a 32-bit one."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile with numba at the first call, or read from its cache; threads run it in parallel.

    The machine code checks no bounds. numba compiles anew when the function's own file changes, not when
    a constant or function that it takes from another file does: then delete `__pycache__`.
    """
    return cast(
        "Callable[P, R]",
        numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})(function),
    )
