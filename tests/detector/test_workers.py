"""Which thread works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from detector import models
from detector.serving.limits import Limits
from detector.serving.workers import USUAL, Workers


def test_one_after_another_is_done_by_one_thread_also_after_several_worked_at_once() -> None:
    model, workers = models.find("circles", "2"), Workers(Limits(workers=4))
    together = threading.Barrier(4, timeout=10)

    def met() -> int:
        together.wait()
        return threading.get_ident()

    async def work(doing: Callable[[], int]) -> int:
        async with workers.turn(model, USUAL):
            return await workers.run(model, doing)

    async def run() -> tuple[set[int], set[int]]:
        many = set(await asyncio.gather(*(work(met) for _ in range(4))))
        return many, {await work(threading.get_ident) for _ in range(20)}

    try:
        many, one = asyncio.run(run())
    finally:
        workers.close()
    assert len(many) == 4
    assert len(one) == 1 and one < many


def test_a_thread_whose_work_fails_works_again() -> None:
    model, workers = models.find("circles", "2"), Workers(Limits(workers=1))

    async def run() -> str:
        for _ in range(3):
            try:
                await workers.run(model, lambda: [][0])
            except IndexError:
                continue
        return await workers.run(model, lambda: "done")

    try:
        assert asyncio.run(run()) == "done"
    finally:
        workers.close()
