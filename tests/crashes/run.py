"""A run: members die and are replaced while the log grows, what they need goes away; and the verdict."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psycopg
import stamina
from pydantic import SecretStr

from deploy.local import kafka, postgres
from deploy.local.ports import free_ports
from deploy.local.supervise import Supervisor, running
from streams import lake, topics
from streams.ledger import Ledger
from streams.settings import Settings
from tests.crashes.lives import ANY, STEPS, Fault, begin, fired, kill
from tests.crashes.log import Feed, differences

NAMES = ("one", "two")
SLEEPS_S = (5.0, 20.0, 60.0)
WAIT_S = 120.0


@contextmanager
def infrastructure(folder: Path) -> Iterator[tuple[Settings, Supervisor]]:
    """Kafka and PostgreSQL, restarted when they are killed, and a small disk of its own for the lake."""
    broker, controller, database = free_ports(3)
    services = (
        kafka.service(folder / "kafka", port=broker, controller_port=controller),
        postgres.service(folder / "postgres", port=database),
    )
    disk = folder / "disk"
    disk.mkdir()
    with running(folder / "logs", *services) as supervisor:
        mounted = not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode
        try:
            settings = Settings(
                data_dir=folder,
                kafka_bootstrap_servers=services[0].where,
                catalog_url=SecretStr(postgres.url(folder / "postgres", port=database)),
                lake_url=str(disk) if mounted else "",
                topic_partitions=6,
                fold_batch_size=40,
                fold_linger_s=0,
            )
            topics.create(settings)
            yield settings, supervisor
        finally:
            if mounted:
                subprocess.run(["umount", "-l", str(disk)], check=False)


class Run:
    """say: takes a line at a time."""

    def __init__(self, settings: Settings, chance: random.Random, say: Callable[[str], None]) -> None:
        self._settings, self._chance, self._say = settings, chance, say
        self._feed = Feed(settings, chance)
        self._fired = settings.data_dir / "fired"
        self._other: Counter[str] = Counter()
        self._members: dict[str, ForkServerProcess] = {}
        lake.create(settings)

    def crashes(self, kills: int) -> None:
        """Until so many lives were ended, by two members in turn, while a third one comes and goes."""
        over, told = threading.Event(), 0
        with ThreadPoolExecutor() as threads:
            others = [threads.submit(self._dying, name, self._chance.random(), over) for name in NAMES]
            others.append(threads.submit(self._visiting, self._chance.random(), over))
            try:
                while (dead := fired(self._fired).total()) < kills:
                    self._keep_ahead()
                    if dead >= told + 50:
                        told = dead
                        self._say(f"{dead} killed, {self._folded():,} of {self._feed.put:,} messages folded")
                    if ended := next((other for other in others if other.done()), None):
                        ended.result()
                    time.sleep(0.1)
            finally:
                over.set()
        for other in others:
            other.result()

    def outages(self, count: int, supervisor: Supervisor) -> None:
        """Of each kind so many, while two members fold."""
        kinds: list[Callable[[], None]] = [
            lambda: self._kill(supervisor, "kafka"),
            lambda: self._kill(supervisor, "postgres"),
            self._fill_the_disk,
            self._sleep,
        ]
        over = threading.Event()
        with ThreadPoolExecutor() as threads:
            keeping = threads.submit(self._keep_alive, over)
            try:
                for kind in kinds * count:
                    self._advances()
                    kind()
                    self._advances()
            finally:
                over.set()
            keeping.result()
        self._members.clear()

    def verdict(self) -> dict[str, int]:
        """What the view lacks or has too many, once a member has folded the rest of the log in peace."""
        member = begin(self._settings.model_copy(update={"fold_member": NAMES[0]}), None)
        wait_for(lambda: self._folded() >= self._feed.put, "the rest of the log")
        _end(member)
        found = differences(self._settings)
        died = fired(self._fired)
        self._say(
            f"{self._feed.put:,} messages, {self._feed.copies:,} of them copies; {died.total()} killed:"
        )
        for what, times in [*((step, died[step]) for step in STEPS), *sorted(self._other.items())]:
            self._say(f"  {what:<28}{times:>5}")
        for what, rows in found.items():
            self._say(f"{what:<30}{rows:>5}")
        return found

    def _dying(self, name: str, seed: float, over: threading.Event) -> None:
        chance = random.Random(seed)
        settings = self._settings.model_copy(update={"fold_member": name})
        while not over.is_set():
            fault = Fault(chance.choice(STEPS), chance.randint(1, 3), self._fired)
            process = begin(settings, fault)
            process.join(chance.uniform(0.3, 3) if fault.step == ANY else 20)
            kill(process, fault)

    def _visiting(self, seed: float, over: threading.Event) -> None:
        chance = random.Random(seed)
        while not over.wait(chance.uniform(2, 6)):
            visitor = begin(self._settings, None)
            over.wait(chance.uniform(3, 8))
            _end(visitor)
            self._other["a member came and left"] += 1

    def _keep_alive(self, over: threading.Event) -> None:
        while not over.is_set():
            for name in NAMES:
                if name not in self._members or not self._members[name].is_alive():
                    self._members[name] = begin(self._settings.model_copy(update={"fold_member": name}), None)
            over.wait(0.2)
        for member in self._members.values():
            _end(member)

    def _kill(self, supervisor: Supervisor, name: str) -> None:
        kill_service(supervisor, name)
        self._other[f"{name} killed"] += 1

    def _fill_the_disk(self) -> None:
        disk = Path(self._settings.lake_path)
        if not os.path.ismount(disk):
            self._other["disk full: skipped, as no disk can be mounted"] += 1
            return
        before, filler = self._said("No space left"), disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        self._keep_ahead()
        wait_for(lambda: self._said("No space left") > before, "a commit that fails for want of space")
        filler.unlink()
        self._other["disk full"] += 1

    def _sleep(self) -> None:
        """A member is stopped and replaced, under its name; woken, it has to leave by itself."""
        name, sleep_s = self._chance.choice(NAMES), SLEEPS_S[self._other["asleep and replaced"] % 3]
        sleeper = self._members[name]
        assert sleeper.pid
        os.kill(sleeper.pid, signal.SIGSTOP)
        self._members[name] = begin(self._settings.model_copy(update={"fold_member": name}), None)
        self._advances()
        time.sleep(sleep_s)
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(WAIT_S)
        assert sleeper.exitcode, "the sleeper did not leave"
        self._other["asleep and replaced"] += 1

    def _said(self, words: str) -> int:
        return (self._settings.data_dir / "materializer.log").read_text(errors="replace").count(words)

    def _advances(self) -> None:
        """Return once more of the log is folded."""
        before = self._folded()

        def advanced() -> bool:
            self._keep_ahead()
            return self._folded() > before + 500

        wait_for(advanced, "a fold that goes on")

    def _keep_ahead(self) -> None:
        if self._feed.put - self._folded() < 2_000:
            self._feed.more(1_000)

    @stamina.retry(on=psycopg.OperationalError, attempts=None, timeout=WAIT_S, wait_max=0.5)
    def _folded(self) -> int:
        with lake.catalog(self._settings) as catalog:
            return sum(Ledger(catalog, lake.live(self._settings)).stored().values())


def kill_service(supervisor: Supervisor, name: str) -> None:
    """Return once it is dead and another one in its place."""
    victim = supervisor.pids()[name]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: supervisor.pids().get(name) not in (None, victim), f"a successor of {name}")


def wait_for(condition: Callable[[], object], what: str, within_s: float = WAIT_S) -> None:
    """Fails when it does not come in time; what is away meanwhile is asked again."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(Exception):
            if condition():
                return
        assert time.monotonic() < deadline, f"{what} did not come within {within_s:.0f} s"
        time.sleep(0.1)


def _end(member: ForkServerProcess) -> None:
    """As one ends a process that is in order; one that has hardly begun knows no goodbye yet."""
    member.terminate()
    member.join(60)
    assert member.exitcode in (0, -signal.SIGTERM), f"told to leave, a member ended with {member.exitcode}"
