"""Kill all who take part in a replay, and compare what it finds with a replay that nobody disturbed.

Images come in and are detected live by version 1, while version 2 looks at all that were there before, then
version 3 and so on, until enough processes were killed at random moments: two replayers, the worker and the
materializer. Then, while one more replay runs, Kafka and PostgreSQL are killed, the model is away, and a
replayer sleeps until its group has given it up. The model finds the same circles in an image whatever its
version is called. So a last version, while nobody is killed any more, says row by row what each had to find.

    python -m tests.crashes.replay --kills 200 --outages 3 --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import psutil
import psycopg
import uuid_utils.compat as uuids
from confluent_kafka import Producer

from deploy.local.supervise import Supervisor
from streams import lake, replays
from streams.codec import Codec
from streams.errors import LakeRefused
from streams.records import key_of
from streams.reevaluation import ReplayRequested
from streams.replay_requests import request
from streams.settings import Settings
from streams.topics import DETECTED, LIBRDKAFKA, UPLOADED
from tests.crashes.lives import begin_stage
from tests.crashes.replayed import CALM, LIVE, differences
from tests.crashes.run import infrastructure, kill_service, wait_for
from tests.integration.flow import picture, read_all, uploaded
from tests.integration.model_server import ModelServer, circles_of, model_server

STAGES = {
    "replayer one": ("streams.replay", {"replay_member": "one"}, 150),
    "replayer two": ("streams.replay", {"replay_member": "two"}, 150),
    # Faust's members have no name: whoever comes after one that was killed waits until it is given up.
    "worker": ("streams.detect", {}, 300),
    "materializer": ("streams.materialize", {"fold_member": "one"}, 150),
}
"""Modules, settings, and how many calls of the model they live at most: of the worker's, or of replayers'."""
LIFE_S = 30.0
"""At most from when they are ready, where nobody calls it."""
CALLS_AT_ONCE, CALL_S = 4, 0.03
COME_IN, EVERY_S = 20, 2.0
"""Images, and between them."""
SLEEP_S = 20.0
"""Well beyond the session of a group's member."""
MODEL_AWAY_S = 4.0
LOOK_S = 0.3
AWAY = (duckdb.Error, psycopg.Error, LakeRefused, OSError)


@dataclass
class Watched:
    """What was seen of the progress of replays while they ran, and what of it cannot be."""

    reads: int = 0
    wrong: list[str] = field(default_factory=list)
    at: dict[str, replays.Progress] = field(default_factory=dict)

    def see(self, version: str, now: replays.Progress) -> None:
        before, self.at[version] = self.at.get(version, replays.Progress(now.images, 0, 0)), now
        self.reads += 1
        done, done_before = now.detected + now.missed, before.detected + before.missed
        if now.images != before.images or not done_before <= done <= now.images:
            self.wrong.append(f"version {version}: {now} after {before}")


class Run:
    """say: takes a line at a time."""

    def __init__(
        self, settings: Settings, model: ModelServer, chance: random.Random, say: Callable[[str], None]
    ) -> None:
        model.takes_s, model.of_image = CALL_S, self._look
        model.speaks_v2 = True
        model.release.set()
        self._chance, self._say, self._model = chance, say, model
        self._settings = settings.model_copy(
            update={"model_server_url": model.url, "model_version": LIVE, "log_level": "INFO"}
        )
        self._calls = Counter({True: 0, False: 0})
        self._images, self._running = 0, {str(n): 0 for n in STAGES}
        self._killed, self._other = Counter[str](), Counter[str]()
        self._killing, self._calm, self._over = threading.Event(), threading.Event(), threading.Event()
        self._replays: dict[str, ReplayRequested] = {}
        self.watched = Watched()
        lake.create(self._settings)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While the block runs all stages are kept alive, images come in, and progress is watched."""
        with ThreadPoolExecutor() as threads:
            tasks = [threads.submit(self._keep_alive, name, self._chance.random()) for name in STAGES]
            tasks += [threads.submit(self._uploading), threads.submit(self._watching)]
            try:
                yield
            finally:
                self._calm.set()
                self._over.set()
        for task in tasks:
            task.result()

    def crashes(self, kills: int, images: int) -> None:
        """One replay after the other until so many processes were killed. images: there before."""
        self._upload(images)
        told = 0
        while self._killed.total() < kills:
            self._begin(str(len(self._replays) + 2))
            self._killing.set()
            while not self._finished() and self._killed.total() < kills:
                if self._killed.total() >= told + 20:
                    told = self._killed.total()
                    self._say(f"{told} killed; {self._where()}")
                time.sleep(LOOK_S)
        self._killing.clear()

    def outages(self, count: int, supervisor: Supervisor) -> None:
        """Of each kind so many, all while a replay runs."""
        kinds: list[Callable[[], None]] = [
            lambda: self._kill(supervisor, "kafka"),
            lambda: self._kill(supervisor, "postgres"),
            self._model_goes,
            self._sleep,
        ] * count
        self._chance.shuffle(kinds)
        for kind in kinds:
            if self._finished():
                self._begin(str(len(self._replays) + 2))
            version = next(reversed(self._replays))
            before = self.watched.at.get(version, replays.Progress(0, 0, 0)).detected

            def goes_on(version: str = version, before: int = before) -> bool:
                return self.watched.at[version].detected > before or self._finished()

            wait_for(goes_on, "a replay that goes on")
            kind()
            self._say(f"{self._other.total()} outages; {self._where()}")

    def verdict(self) -> dict[str, int]:
        """What is lost or too many, once a last version has looked at all images in peace."""
        wait_for(self._finished, "the end of a replay", 300)
        self._calm.set()
        disturbed = dict(self._replays)
        self._model.takes_s = 0
        self._begin(CALM)
        wait_for(self._finished, "the end of a replay in peace", 300)
        wait_for(lambda: self._live() >= self._images, "the last live detection", 300)
        asked = Counter(getattr(r, "model_version", "") for r in read_all(self._settings, DETECTED))
        with lake.connect(self._settings, read_only=True) as view:
            found = {"progress that cannot be": len(self.watched.wrong), **differences(view, disturbed)}
            found["images lost"] = self._images - len(view.table("lake.images"))
        versions = ", ".join(f"{n:,} by {version}" for version, n in sorted(asked.items()))
        self._say(f"{self._images:,} images, detections on the log: {versions}")
        wasted = self._calls[False] - sum(n for version, n in asked.items() if version != LIVE)
        self._say(f"progress was read {self.watched.reads:,} times; {wasted:,} answers died with a replayer")
        for what, times in (*sorted(self._killed.items()), *sorted(self._other.items())):
            self._say(f"  {what:<28}{times:>5}")
        for what, rows in found.items():
            self._say(f"{what:<40}{rows:>5}")
        for wrong in self.watched.wrong[:10]:
            self._say(f"  {wrong}")
        return found

    @property
    def killed(self) -> Counter[str]:
        return self._killed

    def _keep_alive(self, name: str, seed: float) -> None:
        chance = random.Random(seed)
        module, more, calls = STAGES[name]
        ready = self._settings.data_dir / f"{name}.ready"
        settings = self._settings.model_copy(update={**more, "ready_file": ready})
        while not self._over.is_set():
            ready.unlink(missing_ok=True)
            process = begin_stage(module, settings, name)
            assert process.pid
            self._running[name] = process.pid
            live = name == "worker"
            last, latest = self._calls[live] + chance.randrange(calls), inf
            while process.is_alive() and not self._over.wait(0.02):
                if latest == inf and ready.exists():
                    latest = time.monotonic() + LIFE_S
                ends = self._calls[live] >= last or time.monotonic() > latest
                if self._killing.is_set() and ends:
                    os.kill(process.pid, signal.SIGKILL)
                    process.join()
            if self._over.is_set():
                process.terminate()
                process.join(60)
                process.kill()
            elif process.exitcode == -signal.SIGKILL:
                self._killed[f"{name} killed"] += 1
            else:
                self._other[f"{name} ended with {process.exitcode}"] += 1
                time.sleep(1)

    def _look(self, path: str, image: bytes) -> bytes:
        self._calls[path.endswith(f"/versions/{LIVE}/infer")] += 1
        return circles_of(image)

    def _watching(self) -> None:
        while not self._over.wait(LOOK_S):
            with suppress(*AWAY), lake.connect(self._settings, read_only=True) as view:
                while not self._over.wait(LOOK_S):
                    for version, replay in list(self._replays.items())[-1:]:
                        self.watched.see(version, replays.progress(view, replay))

    def _uploading(self) -> None:
        while not self._calm.wait(EVERY_S):
            if self._replays:
                self._upload(COME_IN)

    def _upload(self, count: int) -> None:
        """Put new images on the log; all are acknowledged on return."""
        folder, codec = self._settings.data_dir / "objects", Codec()
        folder.mkdir(exist_ok=True)
        servers = {"bootstrap.servers": self._settings.kafka_bootstrap_servers, "log_level": 0}
        producer = Producer(servers | LIBRDKAFKA)
        for number in range(self._images, self._images + count):
            image_id, data = uuids.uuid7(), picture(number, width=8, height=8)
            path = folder / f"{image_id}.png"
            path.write_bytes(data)
            facts = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
            event = uploaded(image_id=image_id, uri=path.as_uri(), **facts)
            producer.produce(UPLOADED.name, codec.encode(event), key_of(event))
        assert producer.flush(120) == 0
        self._images += count

    def _begin(self, version: str) -> None:
        def is_asked() -> bool:
            asked = request(self._settings, "circles", version, by="crashes", calls_at_once=CALLS_AT_ONCE)
            self._replays[version] = asked[0]
            return True

        wait_for(is_asked, "a replay that is taken")

    def _finished(self) -> bool:
        """Whether no replay has something left to do."""
        newest = next(reversed(self._replays.values()), None)
        with suppress(*AWAY), lake.connect(self._settings, read_only=True) as view:
            states = {each.requested.replay_id: each.state for each in replays.find(view)}
            return newest is None or states.get(newest.replay_id) == "finished"
        return False

    def _where(self) -> str:
        version = next(reversed(self._replays))
        at = self.watched.at.get(version)
        return f"version {version}: {at.detected:,} of {at.images:,}" if at else f"version {version} begins"

    def _live(self) -> int:
        with lake.connect(self._settings, read_only=True) as view:
            return len(view.table("lake.detections").filter("replay_id IS NULL"))

    def _kill(self, supervisor: Supervisor, name: str) -> None:
        kill_service(supervisor, name)
        self._other[f"{name} killed"] += 1

    def _model_goes(self) -> None:
        refused, self._model.answer = self._model.refused, (503, b"")
        wait_for(lambda: self._model.refused > refused, "a request that the model does not take")
        time.sleep(MODEL_AWAY_S)
        self._model.answer = (200, b"")
        self._other["model away"] += 1

    def _sleep(self) -> None:
        name = self._chance.choice(["replayer one", "replayer two"])
        sleeper = psutil.Process(self._running[name])
        sleeper.suspend()
        wait_for(lambda: sleeper.status() == psutil.STATUS_STOPPED, "a sleep")
        time.sleep(SLEEP_S)
        sleeper.resume()
        self._other[f"{name} asleep"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--outages", type=int, default=3, help="of each kind")
    parser.add_argument("--images", type=int, default=3_000, help="there before the first replay")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("stamina").setLevel(logging.ERROR)  # that Kafka takes a moment is no news
    print(f"seed {options.seed}", flush=True)
    with TemporaryDirectory(prefix="crashes-", ignore_cleanup_errors=True) as name:
        with infrastructure(Path(name)) as (settings, supervisor), model_server() as model:
            settings = settings.model_copy(update={"fold_batch_size": 500, "fold_linger_s": 0.05})
            run = Run(settings, model, random.Random(options.seed), lambda line: print(line, flush=True))
            with run.alive():
                run.crashes(options.kills, options.images)
                run.outages(options.outages, supervisor)
                found = run.verdict()
        if any(found.values()):
            logs = b"".join(path.read_bytes() for path in sorted(Path(name).glob("*.log")))
            Path("crashes.log").write_bytes(logs)
            print("what the stages said is in crashes.log")
    sys.exit(1 if any(found.values()) else 0)


if __name__ == "__main__":
    main()
