"""Several processes of the API behind one port: who dies is replaced, and who stops stops all.

The socket is opened here and all accept from it, so that one that is killed takes no connection with it but
its own: with a socket each (SO_REUSEPORT) those in its queue would be reset, too.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess

from streams.settings import Settings

FIRST_DELAY_S, MAX_DELAY_S = 0.2, 10.0
STEADY_S = 10.0
"""After that long without ending, the next end counts as the first."""
Serve = Callable[[Settings, socket.socket], None]
log = logging.getLogger(__name__)
forks = multiprocessing.get_context("forkserver")  # of a process that has imported all and done nothing yet
forks.set_forkserver_preload(["query_api.app"])


@dataclass
class Place:
    """One of the processes over all its lives. begins: when its next life does, of time.monotonic."""

    begins: float = 0.0
    deaths: int = 0
    process: ForkServerProcess | None = None

    def ended(self) -> bool:
        return self.process is not None and self.process.exitcode is not None

    def bury(self) -> None:
        """Say when the next life begins: at once, and later each time when it ends again and again."""
        now = time.monotonic()
        self.deaths = 1 if now - self.begins > STEADY_S else self.deaths + 1
        delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (self.deaths - 1)) * random.uniform(0.5, 1)  # noqa: S311
        self.begins, self.process = now + delay_s, None


class Processes:
    """settings.api_processes of them, until SIGTERM or SIGINT. serve: what each of them does."""

    def __init__(self, settings: Settings, serve: Serve) -> None:
        self._settings, self._serve = settings, serve
        self._places = [Place() for _ in range(settings.api_processes)]
        self._told = False
        self._woken, self._wake = socket.socketpair()

    def keep(self) -> int:
        """Return the exit status: of the last one, where the last one left ended by itself with an error.

        Raises OSError when the port is taken.
        """
        listening = bound(self._settings.api_host, self._settings.api_port)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        while not self._told:
            self._begin(listening)
            self._until_something()
            status = 0
            for place in self._places:
                if place.process and place.ended():
                    code = place.process.exitcode or 0
                    status = max(status, code)
                    log.warning("process %d ended with %d", place.process.pid, code)
                    place.bury()
            if status and not any(place.process for place in self._places):
                return status  # as it would without the others; whoever keeps us alive has to know
        listening.close()  # they have theirs for as long as they take connections
        for place in self._places:
            if place.process:
                place.process.join()
        return 0

    def _begin(self, listening: socket.socket) -> None:
        for place in self._places:
            if not place.process and time.monotonic() >= place.begins and not self._told:
                arguments = self._settings, self._serve, listening
                process = forks.Process(target=_live, args=arguments, daemon=True)
                process.start()
                place.process = process
        if self._told:  # while one began, which was not told with the others
            self._pass_on()

    def _until_something(self) -> None:
        """Return when one ended, when one is to begin, or when told to stop."""
        living = [place.process.sentinel for place in self._places if place.process]
        due = [place.begins for place in self._places if not place.process]
        wait([*living, self._woken], max(0, min(due) - time.monotonic()) if due else None)

    def _tell(self, *_: object) -> None:
        self._told = True
        self._pass_on()
        self._wake.send(b"1")

    def _pass_on(self) -> None:
        # SIGTERM also where Ctrl-C reached them already: they go on to end what is under way.
        for place in self._places:
            if place.process and not place.ended():
                place.process.terminate()


def bound(host: str, port: int) -> socket.socket:
    """A socket that does not listen yet: the first process does that, when it can answer. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((host, port))
    return opened


def _live(settings: Settings, serve: Serve, listening: socket.socket) -> None:
    parent = multiprocessing.parent_process()
    assert parent
    # However the parent ends, its successor needs the port.
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    serve(settings, listening)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
