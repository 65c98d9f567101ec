"""A version: a model's name, its version, and the parameters that it is asked with.

Spelled `circles:2`, or `circles:2+min_radius=20,min_score=0.7`: behind the plus parameters of the model
server's, by name, numbers as short as they can be. It is spelled so on the log, in the view and in answers;
only the model's client takes it apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

Value = float | str

MOST_PX = 1_000_000
_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_BARE = "[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}"
_NUMBER = r"([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})(e-?[0-9]{1,3})?"
_LABEL = "[A-Za-z0-9_.-]{1,50}"
_PARAMETER = rf"((min_score|min_radius|max_radius)={_NUMBER}|label={_LABEL})"
VERSION = rf"^{_NAME}:{_BARE}(\+{_PARAMETER}(,{_PARAMETER})*)?$"
"""What a version looks like, for those who read documents; `Version.read` says more exactly what is wrong."""


class Version(NamedTuple):
    """version: with its parameters, in their one spelling; empty: the model server's newest."""

    name: str
    version: str

    @classmethod
    def read(cls, text: str) -> Version:
        """Raises ValueError, with what would be right, for what is no version."""
        name, _, version = text.partition(":")
        if not re.fullmatch(_NAME, name, re.ASCII) or not version:
            raise ValueError(f"name a version as NAME:VERSION, like circles:2, not {text[:80]!r}")
        return cls(name, respelled(version))

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else f"the newest {self.name}"


def respelled(version: str) -> str:
    """A version, without its model's name, in its one spelling. Raises ValueError for what is none."""
    bare, parameters = parted(version)
    if not re.fullmatch(_BARE, bare, re.ASCII):
        raise ValueError(
            "a version is like 2 or 2+min_radius=20,min_score=0.7, with one plus and then commas, not"
            f" {version[:80]!r}"
        )
    return spelled(bare, parameters)


def parted(version: str) -> tuple[str, dict[str, Value]]:
    """A version as the model server knows it, and the parameters. Raises ValueError for what are none.

    A plus may be part of the version itself: parameters are behind the last one, and have an equals sign.
    """
    bare, plus, said = version.rpartition("+")
    if not plus or ("=" not in said and said not in PARAMETERS):
        return version, {}
    found: dict[str, Value] = {}
    for each in said.split(","):
        name, _, value = each.partition("=")
        if name not in PARAMETERS:
            raise ValueError(f"there is no parameter {name[:80]!r}: there are {', '.join(PARAMETERS)}")
        if name in found:
            raise ValueError(f"{name} is said twice")
        found[name] = PARAMETERS[name](name, value)
    match found:
        case {"min_radius": float(least), "max_radius": float(most)} if least > most:
            raise ValueError(f"min_radius={_shortly(least)} is above max_radius={_shortly(most)}")
    return bare, found


def spelled(bare: str, parameters: Mapping[str, Value]) -> str:
    """A version with its parameters, as it is spelled everywhere."""
    said = ",".join(f"{name}={_shortly(value)}" for name, value in sorted(parameters.items()))
    return f"{bare}+{said}" if said else bare


def _shortly(value: Value) -> str:
    return value if isinstance(value, str) else repr(value).removesuffix(".0")


def _label(name: str, text: str) -> str:
    if not re.fullmatch(_LABEL, text, re.ASCII):
        raise ValueError(f"{name} is 1 to 50 letters, digits and ._-, like {name}=coin, not {text[:80]!r}")
    return text


def _number(least: float, most: float, example: str) -> Callable[[str, str], float]:
    def read(name: str, text: str) -> float:
        number = float(text) if re.fullmatch(_NUMBER, text, re.ASCII) else -1.0
        if not least <= number <= most:
            raise ValueError(f"{name} is {least} to {most}, like {name}={example}, not {text[:80]!r}")
        return number

    return read


_PIXELS = _number(0, MOST_PX, "20")
PARAMETERS: Mapping[str, Callable[[str, str], Value]] = {
    "label": _label,
    "max_radius": _PIXELS,
    "min_radius": _PIXELS,
    "min_score": _number(0, 1, "0.7"),
}
"""Those that the model server takes (detector/serving/parameters.py), each with how its value is read."""
