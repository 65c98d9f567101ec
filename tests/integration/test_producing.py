"""The example that docs/producing.md gives to other services, run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Fresh
from tests.integration.flow import picture, query, stages, wait_until


def test_the_example_puts_an_image_on_the_log_and_it_is_detected(fresh: Fresh, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", Path("docs/producing.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    example, photo = tmp_path / "example.py", tmp_path / "photo.jpg"
    example.write_text(code)
    photo.write_bytes(picture(1, "JPEG"))
    settings = fresh(mode="dummy")
    (settings.data_dir / "objects").mkdir()
    environment = {
        **os.environ,
        "STORE": os.path.relpath(settings.data_dir / "objects"),  # as in the command it is printed with
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
    }
    with stages(settings, "worker", "materializer"):
        ran = subprocess.run(
            [sys.executable, example, photo], env=environment, capture_output=True, text=True, check=True
        )
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.detections") == [(1,)])
    (row,) = query(settings, "SELECT image_id::VARCHAR, source_id, content_type FROM lake.images")
    assert row == (ran.stdout.strip(), "my-service", "image/jpeg")
