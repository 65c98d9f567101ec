"""The view's files in a bucket that checks signatures: written, read, away for a while, and confined to."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import duckdb
import httpx
import obstore
import pytest
from obstore.store import from_url

from streams import generations, lake, lake_files
from streams.errors import LakeRefused
from streams.materialize import run
from streams.rebuild import building
from streams.settings import Settings
from streams.store import Store
from streams.topics import DETECTED, UPLOADED
from tests.integration.conftest import Fresh
from tests.integration.flow import produce, query, stages, uploaded, wait_until
from tests.integration.s3 import (
    Door,
    Keys,
    Role,
    assume,
    forget,
    only_believe_one,
    s3_server,
    stopped,
)
from tests.integration.test_fold import detected

PLACE = "s3://lake/a/view"


@dataclass(frozen=True)
class Bucket:
    url: str
    door: Door
    pid: int
    keys: Keys


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    with s3_server() as (url, pid):
        for name in ("lake", "other"):
            assert httpx.put(f"{url}/{name}", timeout=60).status_code == 200
        assert httpx.put(f"{url}/other/secret.txt", content=b"secret").status_code == 200
        port = urlsplit(url).port
        assert port
        yield Bucket(url, Door(port), pid, only_believe_one(url))


@pytest.fixture
def bucket(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The server, with its address and keys in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.door.port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.keys.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.keys.secret)
    return server


@pytest.fixture
def settings(fresh: Fresh, bucket: Bucket) -> Settings:
    return fresh(lake_url=PLACE)


def circles(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"CATALOG_URL": settings.catalog_url.get_secret_value(), "LAKE_URL": settings.lake_url}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env=os.environ | own | {"COLUMNS": "160"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_view_is_folded_into_a_bucket_and_read_by_other_processes(settings: Settings) -> None:
    images = [uploaded() for _ in range(40)]
    produce(settings, UPLOADED, *images)
    produce(settings, DETECTED, *(detected(i.image_id, 5) for i in images))
    with stages(settings, "materializer"):
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.objects") == [(200,)])
    said = circles(settings, "sql", "select count(distinct image_id) as there from objects")
    assert (said.returncode, said.stderr) == (0, "")
    assert "40" in said.stdout
    files = obstore.list(from_url(PLACE, client_options={"allow_http": True})).collect()
    assert files
    assert all(file["path"].endswith(".parquet") for file in files)
    assert not list(settings.data_dir.rglob("*.parquet"))


def test_a_view_in_a_bucket_is_rebuilt_beside_it_and_the_old_one_dropped(settings: Settings) -> None:
    own = settings.model_copy(update={"lake_url": f"{PLACE}-again"})
    produce(own, UPLOADED, *(uploaded() for _ in range(40)))
    with stages(own, "materializer"):
        wait_until(lambda: query(own, "SELECT count(*) FROM lake.images") == [(40,)])
        with building(own) as view:
            view.follow(lambda *_: None)
            assert all(table.difference is None for table in view.compare())
            view.switch(lambda *_: None)
        generations.drop(own, view.live)
        produce(own, UPLOADED, *(uploaded() for _ in range(40)))
        wait_until(lambda: query(own, "SELECT count(*) FROM lake.images") == [(80,)])
    files = obstore.list(from_url(own.lake_url, client_options={"allow_http": True})).collect()
    assert {file["path"].split("/")[0] for file in files} == {"lake_2"}


def test_nothing_is_lost_while_the_store_is_away(settings: Settings, bucket: Bucket) -> None:
    log = settings.data_dir / "logs" / "materializer.log"
    sent = 0
    with stages(settings, "materializer"):
        for _ in range(2):
            bucket.door.shut()
            images = [uploaded() for _ in range(300)]
            before = log.read_text().count("not committed")
            produce(settings, UPLOADED, *images, *images[:30])
            wait_until(lambda: log.read_text().count("not committed") > before + 1)  # noqa: B023 it is called here
            bucket.door.open()
            sent += 300
            wait_until(lambda: query(settings, "SELECT count(*) FROM lake.images") == [(sent,)])  # noqa: B023
        counts = "SELECT count(*), count(DISTINCT image_id) FROM lake.images"
        assert query(settings, counts) == [(600, 600)]
    assert f"127.0.0.1:{bucket.door.port}" in log.read_text()
    assert bucket.keys.secret not in log.read_text()


def test_a_store_that_hangs_is_given_up(
    settings: Settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_files, "LIMITS", {"http_timeout": 1, "http_retries": 0})
    lake.create(settings)
    rows = "INSERT INTO lake.retries SELECT uuid(), uuid(), now() FROM range(100)"
    with lake.connect(settings, read_only=False) as view:
        view.execute(rows)
        with stopped(bucket.pid):
            began = time.monotonic()
            with pytest.raises(duckdb.IOException, match="Timeout was reached"):
                view.execute(rows)
            assert time.monotonic() - began < 20
        view.execute(rows)
        assert view.execute("SELECT count(*) FROM lake.retries").fetchall() == [(200,)]


def test_a_roles_keys_serve_images_and_view_and_may_change(
    settings: Settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(
        duckdb.IOException, match="no credentials for s3://lake/a/view: set AWS_ACCESS_KEY_ID"
    ):
        lake.create(settings)
    rows = "INSERT INTO lake.retries SELECT uuid(), uuid(), now() FROM range(100)"
    with Role(assume(bucket.url, bucket.keys, "first")) as role:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.url)
        (settings.data_dir / "token").write_text("token")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(settings.data_dir / "token"))
        assert asyncio.run(Store("s3://lake/images", 1000).ready())
        lake.create(settings)
        with lake.connect(settings, read_only=False) as view:
            view.execute(rows)
            forget(bucket.url, bucket.keys, "first")
            role.keys = assume(bucket.url, bucket.keys, "second")
            view.execute(rows)
            lake.lock(view, settings)
            assert view.execute("SELECT count(*) FROM lake.retries").fetchall() == [(200,)]
            shown = str(view.execute("FROM duckdb_secrets(), duckdb_settings() AS settings").fetchall())
            assert role.keys.key_id in shown
            assert role.keys.token not in shown
            shown += str(view.execute("SELECT * FROM load_aws_credentials()").fetchall())
            assert role.keys.secret not in shown


@pytest.mark.parametrize(
    ("place", "environment", "reason"),
    [
        ("s3://missing/view", {}, "LAKE_URL s3://missing/view at 127.0.0.1:{port}: NoSuchBucket: "),
        (PLACE, {"AWS_SECRET_ACCESS_KEY": "hidden"}, "127.0.0.1:{port}: SignatureDoesNotMatch: "),
        (PLACE, {"AWS_ACCESS_KEY_ID": "unknown"}, "127.0.0.1:{port}: InvalidAccessKeyId: "),
        (PLACE, {"AWS_SESSION_TOKEN": "hidden"}, "127.0.0.1:{port}: "),
        (PLACE, {"AWS_SECRET_ACCESS_KEY": ""}, "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set"),
        (PLACE, {"AWS_ENDPOINT_URL": "minio:hidden@9000"}, "AWS_ENDPOINT_URL is https://host or http://"),
    ],
)
def test_what_is_set_wrongly_is_named_at_the_start_and_leaves_nothing(
    settings: Settings, bucket: Bucket, place: str, environment: dict[str, str], reason: str
) -> None:
    wrong = settings.model_copy(update={"lake_url": place})
    with pytest.MonkeyPatch.context() as now:
        for name, value in environment.items():
            now.setenv(name, value)
        with pytest.raises(LakeRefused) as raised:
            run(wrong, threading.Event())
        said = circles(wrong, "sql", "select 1")
    assert reason.format(port=bucket.door.port) in str(raised.value)
    assert reason.format(port=bucket.door.port) in said.stderr
    assert said.returncode == 1
    assert "hidden" not in str(raised.value) + said.stderr
    lake.create(settings)  # the wrong place was not written down


def test_a_locked_connection_reads_the_lake_and_nothing_else(settings: Settings, bucket: Bucket) -> None:
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        view.execute("INSERT INTO lake.retries SELECT uuid(), uuid(), now() FROM range(100)")
        ((file,),) = view.execute("SELECT data_file FROM ducklake_list_files('lake', 'retries')").fetchall()
        wide = lake_files.access(PLACE, os.environ) | {"scope": "s3://"}
        view.execute(lake_files.SQL["keys"].replace("SECRET lake", "SECRET wide"), wide)
        assert view.execute("SELECT content FROM read_text('s3://other/secret.txt')").fetchall() == [
            ("secret",)
        ]
        lake.lock(view, settings)
        assert view.execute("SELECT count(*) FROM lake.retries").fetchall() == [(100,)]
        assert view.execute("SELECT count(*) FROM read_parquet(?)", [file]).fetchall() == [(100,)]
        entered = bucket.door.entered
        url = f"http://127.0.0.1:{bucket.door.port}/other/secret.txt"
        for elsewhere in ("s3://other/secret.txt", url, "/etc/passwd", f"{PLACE}2/x"):
            with pytest.raises(duckdb.PermissionException):
                view.execute("SELECT * FROM read_text(?)", [elsewhere])
        assert bucket.door.entered == entered
        with pytest.raises(duckdb.HTTPException, match="404"):
            view.execute("SELECT * FROM read_text(?)", [f"{file}?s3_endpoint=127.0.0.1:1"])
        with pytest.raises(duckdb.HTTPException, match="403"):  # sent resolved, but signed as it is
            view.execute("SELECT * FROM read_text(?)", [f"{PLACE}/../../other/secret.txt"])
        shown = {
            of: view.execute(f"FROM duckdb_{of}()").fetchall() for of in ("secrets", "settings", "databases")
        }
        assert len(shown["secrets"]) == 2
        assert bucket.keys.secret not in str(shown)
        for query in ("SELECT * FROM duckdb_secrets(redact=false)", "SET allow_unredacted_secrets = true"):
            with pytest.raises(duckdb.InvalidInputException):
                view.execute(query)
