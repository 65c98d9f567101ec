"""Images column by column, words as numbers, so that a condition is one pass over an array."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NONE = -1
COLUMNS = {
    "high": "<u8", "low": "<u8", "project": "<i4", "source": "<i4", "model": "<i4", "circles": "<i4",
    "latency": "<f4", "failed": "?", "uploaded": "<i8", "detected": "<i8", "begin": "<i8", "many": "<i4",
}  # fmt: skip
"""Of an image: its id in halves, words by number, microseconds since 1970. Model NONE: nothing is detected.
begin, many: where its circles are measured, and how many."""
WORDED = ("project", "source", "model")


class Words:
    """What many images have in common, by number."""

    def __init__(self) -> None:
        self.words: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def find(self, word: Hashable) -> int:
        """NONE for one that is not there."""
        return self._numbers.get(word, NONE)

    def of(self, *columns: pa.ChunkedArray) -> NDArray[np.int32]:
        """(n,) that of each row's text, of several columns that of the tuple; it is there from now on."""
        codes = np.zeros(len(columns[0]), np.int64)
        for column in columns:
            encoded = column.combine_chunks().dictionary_encode()
            nothing = len(encoded.dictionary)
            codes = codes * (nothing + 1) + encoded.indices.fill_null(nothing).to_numpy()
        _, firsts, of_rows = np.unique(codes, return_index=True, return_inverse=True)
        texts = zip(*(column.take(firsts).to_pylist() for column in columns), strict=True)
        numbers = self._numbered(texts if len(columns) > 1 else (text for (text,) in texts))
        return np.array(numbers, np.int32)[of_rows]

    def _numbered(self, words: Iterable[Hashable]) -> list[int]:
        found = []
        for word in words:
            number = self._numbers.setdefault(word, len(self.words))
            if number == len(self.words):
                self.words.append(word)
            found.append(number)
        return found

    def only(self, numbers: Iterable[NDArray[np.int32]]) -> tuple[Words, NDArray[np.int32]]:
        """Those of some numbers, numbered anew, and what each number is then; NONE stays NONE."""
        used = np.unique(np.concatenate([*numbers, np.array([NONE], np.int32)]))[1:]
        anew, found = Words(), np.full(len(self.words) + 1, NONE, np.int32)  # NONE is the last place
        found[used] = anew._numbered(self.words[number] for number in used.tolist())
        return anew, found


class Rows:
    """Some places of columns, read when they are asked for, and the words that their numbers mean."""

    def __init__(
        self, columns: Mapping[str, NDArray[Any]], places: NDArray[np.int64] | slice, words: Words
    ) -> None:
        self.columns, self.words, self._places = columns, words, places

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name][self._places]

    def __len__(self) -> int:
        return len(self["model"])

    def copied(self, names: Iterable[str]) -> Rows:
        """Some columns of them, which nobody changes."""
        return Rows({name: self[name].copy() for name in names}, slice(None), self.words)

    def where(self, places: NDArray[Any]) -> Rows:
        """Those of them at some places, (m,), or where it is true, (n,)."""
        if places.dtype == np.bool_ and places.all():
            return self
        return Rows({name: self[name][places] for name in self.columns}, slice(None), self.words)


def empty(many: int) -> dict[str, NDArray[Any]]:
    """Columns of so many images of which nothing is known."""
    return {name: np.full(many, NONE if name == "model" else 0, kind) for name, kind in COLUMNS.items()}


def longer(array: NDArray[Any], least: int) -> NDArray[Any]:
    """The array, or where it is shorter one that begins with it and has room for some time."""
    if least <= len(array):
        return array
    found = np.zeros(least + least // 4, array.dtype)
    found[: len(array)] = array
    return found
