"""The jars are those of the lock file, or they are not used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from jgo.maven import MavenContext

from deploy.local import jars

PATH = "org/example/one/1.0/one-1.0.jar"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Maven repository in a folder, with one jar, in place of the public one."""
    jar = tmp_path / "maven" / PATH
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"classes")
    monkeypatch.setenv("CIRCLES_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(jars, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(
        jars, "MavenContext", lambda **_: MavenContext(local_repos=[tmp_path / "maven"], offline=True)
    )
    return tmp_path / "maven"


def test_a_jar_that_is_not_the_locked_one_is_refused_by_name(repository: Path) -> None:
    jars.LOCK.write_text(f"{'0' * 64}  {PATH}\n")
    with pytest.raises(jars.WrongJar, match=r"one-1\.0\.jar has sha256"):
        jars.install()
    assert list(jars.cache_dir().iterdir()) == []


def test_jars_are_fetched_and_checked_once(repository: Path) -> None:
    jars.LOCK.write_text(f"{hashlib.sha256(b'classes').hexdigest()}  {PATH}\n")
    jars.install()
    (repository / PATH).unlink(missing_ok=True)
    jars.install()
    assert Path(jars.classpath()).read_bytes() == b"classes"


def test_the_lock_names_kafka_in_its_version() -> None:
    assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in jars.classpath()
