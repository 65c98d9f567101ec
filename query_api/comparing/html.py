"""HTML as a tree: every text and every attribute is escaped where it is written, none by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Child: TypeAlias = "Element | str | Iterable[Child] | None"


def el(tag: str, *children: Child, **attributes: object) -> Element:
    """An element. In names of attributes a last _ is left out, others are -; those of None are not there."""
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            made.set(name.removesuffix("_").replace("_", "-"), str(value))
    _add(made, children)
    return made


def _add(parent: Element, children: Iterable[Child]) -> None:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Element):
            parent.append(child)
        elif not isinstance(child, str):
            _add(parent, child)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        else:
            parent.text = (parent.text or "") + child


def document(root: Element) -> bytes:
    """The file of a whole `html` element. What no encoding has, like half a surrogate, is a question mark."""
    return b"<!doctype html>\n" + tostring(root, encoding="unicode", method="html").encode(errors="replace")
