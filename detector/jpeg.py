"""What the segments of a JPEG say of it, without decoding its picture (ITU-T T.81, annex B)."""

from __future__ import annotations

import re

START, END = b"\xff\xd8", b"\xff\xd9"
HEAD = re.compile(rb"\xff([\xc0-\xcf\xda-\xfe])(..)", re.DOTALL)
"""A segment's marker and length."""
SCAN = b"\xda"
FRAMES = {bytes([marker]) for marker in range(0xC0, 0xD0)} - {b"\xc4", b"\xc8", b"\xcc"}
"""Segments that begin a frame and have its height and width; the other three are tables and a reserve."""
BEHIND_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Neither a byte of coded data nor a restart."""
LONGEST_SIDE = 65_500
"""libjpeg's own limit, below that of the format."""
MOST_SEGMENTS = 200
"""Cameras and programs write 5 to 60. So a file of nothing else takes no long time."""


def without_picture(data: bytes) -> bytes | None:
    """A JPEG of one pixel with every segment of `data` and no coded data: libjpeg refuses both or neither.

    Of damage inside coded data it makes what it can, so all that it refuses is in the segments. None where
    these do not follow one another to the end, as in a file that was cut off, or are very many: then only
    decoding tells.
    """
    found, at = [START], len(START)
    if not data.startswith(START):
        return None
    while not data.startswith(END, at):
        head = HEAD.match(data, at)
        if head is None or len(found) > MOST_SEGMENTS:
            return None
        marker, length = head.groups()
        end = at + 2 + int.from_bytes(length)
        segment = data[at:end]
        if not 4 <= len(segment) == end - at:
            return None
        if marker in FRAMES:
            sides = int.from_bytes(segment[5:7]), int.from_bytes(segment[7:9])
            if min(sides) > 0 and max(sides) <= LONGEST_SIDE:
                segment = segment[:5] + b"\0\1\0\1" + segment[9:]
        found.append(segment)
        at = end
        if marker == SCAN:
            behind = BEHIND_SCAN.search(data, at)
            if behind is None:
                return None
            at = behind.start()
    return b"".join([*found, END])
