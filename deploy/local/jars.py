"""Apache Kafka's jars: fetched once from Maven, each checked against the committed lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
from jgo.maven import MavenContext
from jgo.parse import Coordinate

LOCK = Path(__file__).with_name("kafka-jars.lock")
"""`sha256  path in a Maven repository`, one jar a line: what `sha256sum -c` reads."""
KAFKA_VERSION = "4.3.0"


class WrongJar(Exception):
    """A fetched jar is not the one that the lock file names; nothing was installed."""


def cache_dir() -> Path:
    """Where what is fetched or made once per machine is kept."""
    return Path(os.environ.get("CIRCLES_CACHE_DIR") or platformdirs.user_cache_dir("circles"))


def jars_dir() -> Path:
    """Where `install` puts the jars; named by the lock's content, so that its existence is the proof."""
    return cache_dir() / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def classpath() -> str:
    """The installed jars; always in one order, since Java's cache of loaded classes depends on it."""
    return os.pathsep.join(str(jars_dir() / Path(path).name) for _, path in _locked())


def install() -> None:
    """Fetch and check the jars, unless they are there. Raises WrongJar.

    The lock says what to fetch, so no POM is resolved: it is faster and nothing can drift. Everything
    lands in a folder beside the real one, which a rename then makes real: an interruption or a
    concurrent start leaves nothing half done.
    """
    target = jars_dir()
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as folder:
        jars = Path(folder, "jars")
        jars.mkdir()
        maven = MavenContext(repo_cache=Path(folder, "repository"), timeout=30)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda line: _fetch(maven, *line, into=jars), _locked()))
        try:
            jars.rename(target)
        except OSError:
            if not target.exists():
                raise


def _locked() -> list[tuple[str, str]]:
    return [(line[:64], line[66:]) for line in LOCK.read_text().splitlines()]


def _fetch(maven: MavenContext, sha256: str, path: str, *, into: Path) -> None:
    *group, name, version, filename = path.split("/")
    jar = maven.project(".".join(group), name).at_version(version).artifact().resolve()
    actual = hashlib.sha256(jar.read_bytes()).hexdigest()
    if actual != sha256:
        raise WrongJar(f"{filename} has sha256 {actual}, but {LOCK.name} says {sha256}")
    shutil.move(jar, into / filename)


def lock() -> str:
    """The lock file's text for KAFKA_VERSION, resolved from the POMs; for a change of version."""
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder))
        kafka = Coordinate("org.apache.kafka", "kafka_2.13", KAFKA_VERSION, scope="compile")
        inputs, transitive = maven.resolver.resolve([maven.create_dependency(kafka)])
        jars = [dep.artifact for dep in [*inputs, *transitive] if dep.scope in ("compile", "runtime")]
        # Without a binding for slf4j Kafka logs nothing. Resolved as a second root it would pull an old
        # kafka-clients beside the new one, hence the single jar in the version of its siblings.
        log4j = next(jar for jar in jars if jar.artifactId == "log4j-core").version
        binding = maven.project("org.apache.logging.log4j", "log4j-slf4j-impl").at_version(log4j)
        paths = sorted(jar.resolve() for jar in [*jars, binding.artifact()])
        return "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
            for path in paths
        )


if __name__ == "__main__":
    install()
