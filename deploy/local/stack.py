"""The whole system on one machine: what `circles up` runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial

from deploy.local.folder import held, write_addresses, write_processes
from deploy.local.services import as_environment, pipeline, with_addresses
from deploy.local.supervise import Supervisor
from streams.settings import Settings

ADDRESSES = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "CATALOG_URL",
    "MODEL_SERVER_URL",
    "STORAGE_URL",
    "LAKE_URL",
    "SCHEMA_REGISTRY_URL",
    "API_URL",
)
"""What other commands learn from stack.env."""


async def up(
    settings: Settings,
    *,
    on_ready: Callable[[Settings], Awaitable[None]] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run everything until Ctrl-C or SIGTERM; a second one kills at once.

    settings: from the real environment only (`Settings()`); what they give an address for is used
    instead of started. on_ready: gets the settings with every address filled in, once all are ready.

    Raises AlreadyRunning; ServiceFailed or CommandFailed when something does not start; KafkaException
    when the topics cannot be created; and what `on_ready` raises. Everything is stopped by then.
    """
    folder = settings.data_dir.absolute()
    with held(folder):
        publish = partial(write_processes, folder)
        async with Supervisor(folder / "logs", say=say, changed=publish) as supervisor:
            interrupted = asyncio.create_task(_interruption(supervisor, say).wait())
            running = asyncio.create_task(_run(supervisor, settings, on_ready, say))
            await asyncio.wait({interrupted, running}, return_when=asyncio.FIRST_COMPLETED)
            interrupted.cancel()
            if running.done():
                running.result()
            running.cancel()
            await asyncio.wait({running})


async def _run(
    supervisor: Supervisor,
    settings: Settings,
    on_ready: Callable[[Settings], Awaitable[None]] | None,
    say: Callable[[str], None],
) -> None:
    settings, infrastructure = with_addresses(settings, say)
    await supervisor.start(*infrastructure)
    await asyncio.to_thread(_create_topics, settings)
    await supervisor.start(*pipeline(settings))
    environment = as_environment(settings)
    write_addresses(settings.data_dir, {name: environment[name] for name in ADDRESSES})
    if on_ready:
        await on_ready(settings)
    await supervisor.failed()


def _create_topics(settings: Settings) -> None:
    from streams import topics

    topics.create(settings)


def _interruption(supervisor: Supervisor, say: Callable[[str], None]) -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the second kills."""
    interrupted = asyncio.Event()

    def interrupt() -> None:
        if interrupted.is_set():
            supervisor.kill()
        else:
            say("stopping; once more kills at once")
            interrupted.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    return interrupted
