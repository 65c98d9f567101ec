"""`circles scrub --repair`: the view is folded again from the log where a file is damaged."""

from __future__ import annotations

from pathlib import Path

from streams import lake
from streams.settings import Settings
from tests.integration.flow import query, stages, wait_until
from tests.integration.test_rebuild import COUNTS, circles, put_images, states


def test_scrub_repairs_what_is_damaged(settings: Settings) -> None:
    put_images(settings, 100)
    with stages(settings, "materializer"):
        wait_until(lambda: query(settings, COUNTS) == [(100, 300)])
    file = max(Path(lake.place(settings, "lake_1")).rglob("objects/*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = circles(settings, "scrub")
    assert found.returncode == 1
    assert f"damaged  main/objects/{file.name}" in found.stdout
    assert "`circles scrub --repair` folds these rows again" in found.stdout
    assert circles(settings, "scrub", "--repair").returncode == 0
    assert states(settings) == {"lake_1": "retired", "lake_2": "live"}
    assert query(settings, COUNTS) == [(100, 300)]
    assert circles(settings, "scrub").returncode == 0
