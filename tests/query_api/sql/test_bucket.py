"""The view's files in a bucket: read by the process of a query, which reaches nothing else there."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import httpx
import pytest

from query_api.sql import child
from streams import lake, lake_files
from streams.lake import bundled
from tests.integration.s3 import only_believe_one, s3_server
from tests.lakes import fresh
from tests.query_api.sql.world import log, request
from tests.streams.small_view import put

PLACE = "s3://lake/a/view"


def test_files_of_a_bucket_are_read_and_no_others(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with s3_server() as (url, _):
        for name in ("lake", "other"):
            assert httpx.put(f"{url}/{name}", timeout=60).status_code == 200
        assert httpx.put(f"{url}/other/secret.txt", content=b"secret").status_code == 200
        keys = only_believe_one(url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret)
        folder = fresh(postgres, tmp_path)
        bucket = folder.model_copy(update={"lake_url": PLACE})
        with lake.catalog(folder) as catalog:
            catalog.execute(f"DROP SCHEMA {lake.live(folder)} CASCADE; DROP SCHEMA circles CASCADE")
        lake.create(bucket)
        with lake.connect(bucket, read_only=False) as writer:
            put(bucket, writer, log("mine", "camera", 0, 24), 0)
            put(bucket, writer, log("mine", "camera", 24, 3), 1000)
        extensions = [bundled(name) for name in lake_files.extensions(PLACE)]
        asked = request(bucket, "", "mine", extensions=extensions, bucket=True)
        assert asked.paths and all(path.startswith(f"{PLACE}/") for path in asked.paths)
        with child.opened(asked) as opened:
            assert opened.execute("SELECT count(*), sum(circle_count) FROM images").fetchall() == [(27, 27)]
            file = asked.paths[0]
            for elsewhere in (
                "s3://other/secret.txt", f"{PLACE}/x.parquet", f"{file}?s3_endpoint=127.0.0.1:1",
                f"{PLACE}/../../../other/secret.txt", f"{url}/other/secret.txt", "/etc/passwd",
            ):  # fmt: skip
                with pytest.raises(duckdb.Error):
                    opened.execute("SELECT * FROM read_text(?)", [elsewhere]).fetchall()
            shown = (
                "SELECT (SELECT list(s) FROM duckdb_secrets() s), (SELECT list(s) FROM duckdb_settings() s)"
            )
            assert keys.secret not in str(opened.execute(shown).fetchall())
