"""The process apart: a comparison takes seconds of CPU and a gigabyte, which the API must not.

`python -m query_api.comparing.child` reads what it is asked from standard input. On standard output it says
how it ended, in a line of JSON, and behind that is the answer.
"""

from __future__ import annotations

import errno
import math
import os
import pickle
import resource
import signal
import sys
from pathlib import Path

import duckdb
import orjson
import psycopg

from query_api.comparing.asked import Comparing, Told
from query_api.comparing.work import done
from streams.errors import LakeRefused, NothingToCompare, UnknownVersion

NICE = 10
"""Who is answered at once goes first."""
OF_LIMITS = (os.strerror(errno.EAGAIN), os.strerror(errno.ENOMEM), "out of memory")
"""What the kernel and libpq say to who wants memory, or a thread with its memory, beyond the limit."""
OF_SNAPSHOT = (duckdb.CatalogException, duckdb.InvalidInputException)
"""What a snapshot has that is not kept any more, or is from before there were tables."""
NEARLY = 64 << 20
"""Bytes. With fewer left a library is not loaded or a thread not begun, and each says so in its own words."""
SLACK_S = 2
"""After which a process that nobody ended ends itself."""


def main() -> None:
    os.nice(NICE)
    request = sys.stdin.buffer.read()
    if not request:
        return  # started ahead, and not needed
    told: Told = pickle.loads(request)  # noqa: S301 the API's, through our pipe
    _bound(told)
    past = isinstance(told.asked, Comparing) and told.asked.at[1] is not None
    answer = b""
    try:
        answer, verdict = done(told.asked), {"ended": "well"}
    except (UnknownVersion, NothingToCompare) as error:
        verdict = {"ended": "nothing", "detail": str(error)}
    except ValueError as error:
        verdict = {"ended": "refused", "detail": str(error)}
    except (MemoryError, duckdb.OutOfMemoryException):
        verdict = {"ended": "memory"}
    except Exception as error:
        if _left() < NEARLY or any(text in str(error) for text in OF_LIMITS):
            verdict = {"ended": "memory"}
        elif past and isinstance(error, OF_SNAPSHOT):
            verdict = {"ended": "gone"}
        elif isinstance(error, (duckdb.Error, psycopg.Error, LakeRefused, OSError)):
            verdict = {"ended": "unavailable", "detail": str(error)}
        else:
            raise
    sys.stdout.buffer.write(orjson.dumps(verdict, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)  # at once: what DuckDB would tidy up goes with the process


def _bound(told: Told) -> None:
    """Bounds of the kernel's, for when the API is no more, and for what DuckDB's own limit does not count."""
    signal.setitimer(signal.ITIMER_REAL, told.timeout_s + SLACK_S)
    cpu_s = math.ceil(told.timeout_s) * (os.cpu_count() or 1) + SLACK_S
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (told.memory_mb << 20, told.memory_mb << 20))


def _left() -> int:
    """Bytes below the limit."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stacks, what the limit counts
    return resource.getrlimit(resource.RLIMIT_DATA)[0] - pages * resource.getpagesize()


if __name__ == "__main__":
    main()
