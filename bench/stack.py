"""What benchmarks run on: a real Kafka and PostgreSQL, and the project's own processes beside them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg
from confluent_kafka import Producer
from pydantic import SecretStr

from bench.measure import OUT
from deploy.local.kafka import running_kafka
from deploy.local.ports import free_ports
from deploy.local.postgres import running_postgres
from deploy.local.ready import answers_ok
from deploy.local.service import Service
from deploy.local.services import pipeline
from deploy.local.supervise import Supervisor, running
from streams import topics
from streams.codec import Codec
from streams.records import Record, key_of
from streams.settings import Settings
from streams.topics import LIBRDKAFKA, Topic


@contextmanager
def infrastructure(partitions: int = 12) -> Iterator[Settings]:
    """Kafka with its topics, PostgreSQL and a folder while the block runs; yields settings for them.

    The folder is inside the project: /tmp may be in memory, where fsync costs nothing.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=OUT, prefix="run-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running_kafka(folder / "kafka") as kafka, running_postgres(folder / "postgres") as catalog:
            api, model = free_ports(2)
            settings = Settings(
                data_dir=folder,
                kafka_bootstrap_servers=kafka,
                catalog_url=SecretStr(catalog),
                storage_url="",
                lake_url="",
                schema_registry_url="",
                topic_partitions=partitions,
                mode="real",
                model_server_url=f"http://127.0.0.1:{model}",
                api_host="127.0.0.1",
                api_port=api,
                api_url=f"http://127.0.0.1:{api}",
                log_level="WARNING",
            )
            topics.create(settings)
            yield settings


@contextmanager
def processes(settings: Settings, *names: str) -> Iterator[Supervisor]:
    """Processes while the block runs: of the stack, by the names of its services."""
    known = {service.name: service for service in (*pipeline(settings), _model(settings))}
    with running(settings.data_dir / "logs", *(known[name] for name in names)) as supervisor:
        yield supervisor


def limits(folder: Path, port: int) -> Service:
    """The handlers that the API is compared with, in a server process set up like its own."""
    command = [sys.executable, "-m", "bench.limits", str(port), str(folder)]

    async def prepare() -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
        return command

    return Service("limits", prepare, lambda: answers_ok(f"http://127.0.0.1:{port}/empty"))


def fresh_view(settings: Settings) -> Settings:
    """The same log with an empty catalog and an empty folder."""
    name = f"bench_{uuid.uuid4().hex}"
    url = settings.catalog_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    catalog = SecretStr(urlunsplit(urlsplit(url)._replace(path=f"/{name}")))
    folder = settings.data_dir / name
    folder.mkdir()
    return settings.model_copy(update={"catalog_url": catalog, "data_dir": folder})


def produce(settings: Settings, topic: Topic, records: Iterable[Record]) -> None:
    """Put records on a topic; all are acknowledged on return."""
    codec = Codec()
    produce_encoded(settings, topic, ((key_of(record), codec.encode(record)) for record in records))


def produce_encoded(settings: Settings, topic: Topic, messages: Iterable[tuple[bytes, bytes]]) -> None:
    """Put keys and values on a topic; all are acknowledged on return."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "queue.buffering.max.messages": 1_000_000,
            "linger.ms": 5,
            **LIBRDKAFKA,
        }
    )
    for key, value in messages:
        while True:
            try:
                producer.produce(topic.name, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0, "Kafka did not acknowledge all events"


def _model(settings: Settings) -> Service:
    url = settings.model_server_url

    async def prepare() -> list[str]:
        return [sys.executable, "-m", "detector", "--port", str(urlsplit(url).port)]

    return Service("model", prepare, lambda: answers_ok(f"{url}/v2/health/ready"))
