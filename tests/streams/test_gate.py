"""The gate in front of what may be down."""

from __future__ import annotations

import asyncio

import pytest

from streams.gate import Gate, Stopping

PATIENCE_S = 10


class Service:
    """What is behind a gate: answers probes by `up`, and counts them."""

    def __init__(self) -> None:
        self.up, self.stopping, self.probes, self.under_way = False, False, 0, 0
        self.most_under_way = 0
        self.gate = Gate("the service", self.probe, lambda: self.stopping)

    async def probe(self) -> bool:
        self.probes += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return self.up

    async def probed(self, times: int) -> None:
        while self.probes < times:  # noqa: ASYNC110 the gate knows no events but its own
            await asyncio.sleep(0.01)


def test_an_open_gate_lets_pass_without_a_probe() -> None:
    async def passes() -> int:
        service = Service()
        service.stopping = True
        await service.gate.passed()
        return service.probes

    assert asyncio.run(passes()) == 0


def test_a_closed_gate_holds_everyone_until_a_probe_succeeds() -> None:
    async def passes() -> tuple[list[bool], int]:
        service = Service()
        service.gate.close("refused")
        waiting = [asyncio.create_task(service.gate.passed()) for _ in range(5)]
        await service.probed(3)
        held = [not task.done() for task in waiting]
        service.up = True
        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
        await service.gate.passed()
        return held, service.probes

    held, probes = asyncio.run(passes())
    assert all(held)
    assert probes >= 3


def test_one_probe_runs_however_many_calls_failed_and_none_once_it_is_open() -> None:
    async def probes() -> tuple[int, int]:
        service = Service()
        for _ in range(20):
            service.gate.close("refused")
        await service.probed(2)
        service.up = True
        await asyncio.wait_for(service.gate.passed(), PATIENCE_S)
        after = service.probes
        await asyncio.sleep(0.3)
        return service.most_under_way, service.probes - after

    assert asyncio.run(probes()) == (1, 0)


def test_a_gate_closes_again_after_it_was_open() -> None:
    async def passes() -> None:
        service = Service()
        for up in (False, False):
            service.up = up
            service.gate.close("refused")
            held = asyncio.create_task(service.gate.passed())
            await service.probed(service.probes + 1)
            assert not held.done()
            service.up = True
            await asyncio.wait_for(held, PATIENCE_S)

    asyncio.run(passes())


def test_who_waits_is_sent_away_when_the_stage_stops() -> None:
    async def stops() -> None:
        service = Service()
        service.gate.close("refused")
        waiting = asyncio.create_task(service.gate.passed())
        await service.probed(1)
        service.stopping = True
        with pytest.raises(Stopping, match="waiting for the service"):
            await asyncio.wait_for(waiting, PATIENCE_S)

    asyncio.run(stops())


def test_a_stop_that_was_called_off_does_not_leave_the_gate_closed_for_good() -> None:
    """A rebalance may begin and end between two looks of those who wait."""

    async def passes() -> None:
        service = Service()
        service.gate.close("refused")
        await service.probed(1)
        service.stopping = True
        await service.probed(2)
        service.stopping, service.up = False, True
        await asyncio.wait_for(service.gate.passed(), PATIENCE_S)

    asyncio.run(passes())
