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

import duckdb
import orjson
import psycopg

from query_api.comparing.asked import Told
from query_api.comparing.work import done
from streams.errors import LakeRefused, NothingToCompare, UnknownVersion

NICE = 10
"""Who is answered at once goes first."""
OF_LIMITS = (errno.EAGAIN, errno.ENOMEM)
"""What the kernel says to who wants memory, or a thread with its memory, beyond the limit."""
SLACK_S = 2
"""After which a process that nobody ended ends itself."""


def main() -> None:
    told: Told = pickle.load(sys.stdin.buffer)  # noqa: S301 the API's, through our pipe
    _bound(told)
    answer = b""
    try:
        answer, verdict = done(told.asked), {"ended": "well"}
    except (UnknownVersion, NothingToCompare) as error:
        verdict = {"ended": "nothing", "detail": str(error)}
    except ValueError as error:
        verdict = {"ended": "refused", "detail": str(error)}
    except (MemoryError, duckdb.OutOfMemoryException):
        verdict = {"ended": "memory"}
    except (duckdb.Error, psycopg.Error, LakeRefused, OSError) as error:
        full = any(os.strerror(number) in str(error) for number in OF_LIMITS)
        verdict = {"ended": "memory" if full else "unavailable", "detail": str(error)}
    sys.stdout.buffer.write(orjson.dumps(verdict, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)  # at once: what DuckDB would tidy up goes with the process


def _bound(told: Told) -> None:
    """Bounds of the kernel's, for when the API is no more, and for what DuckDB's own limit does not count."""
    os.nice(NICE)
    signal.setitimer(signal.ITIMER_REAL, told.timeout_s + SLACK_S)
    cpu_s = math.ceil(told.timeout_s) * (os.cpu_count() or 1) + SLACK_S
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (told.memory_mb << 20, told.memory_mb << 20))


if __name__ == "__main__":
    main()
