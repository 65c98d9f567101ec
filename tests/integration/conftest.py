"""A real Kafka and a real PostgreSQL, started once; fresh topics, database and folders for each use."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from deploy.local.kafka import running_kafka
from deploy.local.ports import free_ports
from deploy.local.postgres import running_postgres
from streams import topics
from streams.settings import Settings
from tests.integration.flow import wait_until

Fresh = Callable[..., Settings]


@pytest.fixture(scope="session", autouse=True)
def on_containers(request: pytest.FixtureRequest) -> bool:
    """Whether this run's servers are containers; skips it all when they should be and no engine answers."""
    if request.config.getoption("--on") == "local":
        return False
    request.getfixturevalue("engine")
    return True


@pytest.fixture(scope="session")
def kafka(on_containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if on_containers:
        from tests.integration.containers import ApacheKafkaContainer

        with ApacheKafkaContainer() as container:
            yield container.get_bootstrap_server()
    else:
        with running_kafka(tmp_path_factory.mktemp("kafka")) as bootstrap:
            yield bootstrap


@pytest.fixture(scope="session")
def postgres(on_containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if on_containers:
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer("postgres:18", driver=None) as container:
            yield container.get_connection_url()
    else:
        with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
            yield url


@pytest.fixture(scope="session")
def fresh(kafka: str, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes settings over empty topics, an empty database and an empty folder."""

    def make(**more: object) -> Settings:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("data"),
            kafka_bootstrap_servers=kafka,
            catalog_url=SecretStr(_new_database(postgres)),
            topic_partitions=4,
            fold_member="materializer",
            api_port=free_ports(1)[0],
        )
        settings = settings.model_copy(update={"api_url": f"http://127.0.0.1:{settings.api_port}", **more})
        _remake_topics(settings)
        return settings

    return make


@pytest.fixture
def settings(fresh: Fresh) -> Settings:
    return fresh()


def _new_database(url: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _remake_topics(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    ours = {topic.name for topic in topics.TOPICS}
    there = ours & set(admin.list_topics(timeout=10).topics)
    if there:
        for future in admin.delete_topics(list(there)).values():
            future.result()
    # Deletion is finished by the controller after its answer, creation by the brokers after theirs.
    wait_until(lambda: not ours & set(admin.list_topics(timeout=10).topics))
    topics.create(settings)
    wait_until(lambda: ours <= set(admin.list_topics(timeout=10).topics))
