"""What the stack is made of: a service for each part whose address the settings do not give."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial

from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from deploy.local import jars, kafka, postgres
from deploy.local.ports import next_free, remembered_ports
from deploy.local.ready import accepts, answers_ok
from deploy.local.service import Service, line
from streams.settings import Settings


def with_addresses(settings: Settings, say: Callable[[str], None]) -> tuple[Settings, list[Service]]:
    """The settings with every address filled in, and the services that have to answer there."""
    folder = settings.data_dir.absolute()
    ports = remembered_ports(folder / "ports.json", "kafka", "kafka-controller", "postgres", "model", "api")
    asked = {"kafka": settings.kafka_port, "postgres": settings.postgres_port, "model": settings.model_port}
    ports |= {name: port for name, port in asked.items() if port}
    addresses: dict[str, object] = {
        "data_dir": folder,
        "storage_url": settings.objects_url,
        "lake_url": settings.lake_path,
    }
    services = []

    if settings.kafka_bootstrap_servers:
        say(line("kafka", f"using {settings.kafka_bootstrap_servers}"))
    else:
        broker = kafka.service(
            folder / "kafka", port=ports["kafka"], controller_port=ports["kafka-controller"]
        )
        addresses["kafka_bootstrap_servers"] = broker.where
        services.append(broker)
        if not jars.jars_dir().exists():
            say(line("kafka", f"fetching Apache Kafka {jars.KAFKA_VERSION} (45 MB), once"))

    if catalog := settings.catalog_url.get_secret_value():
        say(line("postgres", f"using {conninfo_to_dict(catalog).get('host', 'the default host')}"))
    else:
        data = folder / "postgres"
        services.append(postgres.service(data, port=ports["postgres"]))
        addresses["catalog_url"] = SecretStr(postgres.url(data, port=ports["postgres"]))

    if settings.mode == "dummy":
        say(line("model", "none: MODE is dummy"))
    elif settings.model_server_url:
        say(line("model", f"using {settings.model_server_url}"))
    else:
        services.append(_model(ports["model"]))
        addresses["model_server_url"] = services[-1].where

    scheme = "https" if settings.tls_cert_file else "http"
    port = next_free(settings.api_port or ports["api"])
    if settings.api_port not in (0, port):
        say(line("api", f"port {settings.api_port} is taken, using {port}"))
    addresses |= {"api_port": port, "api_url": f"{scheme}://{settings.api_host}:{port}"}
    return settings.model_copy(update=addresses), services


def pipeline(settings: Settings) -> list[Service]:
    """The project's own processes, which need all of the above and the topics."""
    environment = as_environment(settings)
    return [
        _ready_by_file("worker", "streams.detect", "consuming", settings),
        _ready_by_file(
            "materializer",
            "streams.materialize",
            "consuming",
            # With a name it need not wait for its own predecessor when it was killed.
            settings.model_copy(update={"fold_member": settings.fold_member or "materializer"}),
        ),
        _ready_by_file("maintainer", "streams.maintain", "looking after the view's files", settings),
        _ready_by_file(
            "replayer",
            "streams.replay",
            "waiting for replays",
            settings.model_copy(update={"replay_member": settings.replay_member or "replayer"}),
        ),
        Service(
            "api",
            _python("-m", "query_api"),
            partial(_api_answers, settings),
            where=settings.api_url,
            env=environment,
        ),
    ]


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings as another process reads them from its environment."""
    environment = {"PYTHONUNBUFFERED": "1"}  # so that a log is complete when its process is killed
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value is not None:
            secret = isinstance(value, SecretStr)
            environment[field.alias or name.upper()] = value.get_secret_value() if secret else str(value)
    return environment


async def _api_answers(settings: Settings) -> bool:
    if settings.tls_cert_file:  # which is for the names that clients use, so none of ours may be in it
        return await accepts(settings.api_host, settings.api_port)
    return await answers_ok(f"{settings.api_url}/health")


def _model(port: int) -> Service:
    url = f"http://127.0.0.1:{port}"
    command = _python("-m", "detector", "--host", "127.0.0.1", "--port", str(port))
    env = {"PYTHONUNBUFFERED": "1"}
    # Changed code is compiled at the next start.
    ready = partial(answers_ok, f"{url}/v2/health/ready")
    return Service("model", command, ready, where=url, env=env, ready_timeout_s=240)


def _ready_by_file(name: str, module: str, where: str, settings: Settings) -> Service:
    """A process that says that it is at its work by touching a file."""
    ready = settings.data_dir / f"{name}.ready"

    async def prepare() -> list[str]:
        ready.unlink(missing_ok=True)
        return [sys.executable, "-m", module]

    async def is_ready() -> bool:
        return ready.exists()

    env = as_environment(settings.model_copy(update={"ready_file": ready}))
    return Service(name, prepare, is_ready, where=where, env=env)


def _python(*arguments: str) -> Callable[[], Awaitable[list[str]]]:
    async def prepare() -> list[str]:
        return [sys.executable, *arguments]

    return prepare
