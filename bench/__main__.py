"""`python -m bench [NAME...]`: measure our parts against their limits; figures also go to bench/out."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable

from rich.console import Console

from bench import (
    backlog,
    beside,
    comparing,
    detect,
    fold,
    freshness,
    maintain,
    model,
    overload,
    reading,
    rebuild,
    replay,
    scrub,
    server,
    size,
    upload,
    visible,
    watermarks,
)
from bench.measure import Figure, Say, keep, show
from bench.peers import compare

BENCHMARKS: dict[str, Callable[[Say], list[Figure]]] = {
    "fold": fold.run,
    "peers": compare.run,
    "size": size.run,
    "backlog": backlog.run,
    "detect": detect.run,
    "model": model.run,
    "server": server.run,
    "upload": upload.run,
    "overload": overload.run,
    "reading": reading.run,
    "visible": visible.run,
    "freshness": freshness.run,
    "maintain": maintain.run,
    "scrub": scrub.run,
    "watermarks": watermarks.run,
    "rebuild": rebuild.run,
    "compare": comparing.run,
    "replay": replay.run,
    "beside": beside.run,
}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    # As Ctrl-C does: what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("stamina").setLevel(logging.ERROR)  # that new topics take a moment is no news
    console = Console(width=None if sys.stdout.isatty() else 120)
    progress = Console(stderr=True, highlight=False)
    for name in names:
        began = time.monotonic()

        def say(text: str, name: str = name, began: float = began) -> None:
            progress.print(f"{time.monotonic() - began:5.0f} s  {name}: {text}")

        say("starting what it runs on")
        figures = BENCHMARKS[name](say)
        show(name, figures, console)
        keep(name, figures, time.monotonic() - began)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
