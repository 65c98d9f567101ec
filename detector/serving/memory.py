"""How the C library keeps the memory of images between requests."""

from __future__ import annotations

import ctypes
import sys
import threading
import time

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of malloc.h."""

LARGEST_BUFFER = 32 << 20
KEPT = 128 << 20

GIVE_BACK_S = 10.0
"""Between the times when what no image needed goes back to the kernel."""


def keep_buffers() -> None:
    """Keep freed image-sized buffers in this process for the next images, for some seconds.

    Without it glibc maps each from the kernel and gives it back, page by page, several times an
    image: measured as 1.3 ms of system time for one of 640 x 480. Images of many sizes, though, leave
    holes in the heap of each thread, which grows for hours; so a thread gives back all pages that are
    free, a few ms every GIVE_BACK_S. Elsewhere than on glibc it does nothing.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        return
    library.mallopt(M_MMAP_THRESHOLD, LARGEST_BUFFER)
    library.mallopt(M_TRIM_THRESHOLD, KEPT)
    threading.Thread(target=give_back, args=(library,), name="give back memory", daemon=True).start()


def give_back(library: ctypes.CDLL) -> None:
    while True:
        time.sleep(GIVE_BACK_S)
        library.malloc_trim(0)
