"""A Python client that others' generator makes of the OpenAPI document works against the running API."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx

from deploy.local.environment import interpreter
from tests.integration.access import key
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, stages

HERE = Path(__file__).parents[1] / "client"


def test_a_generated_client_uploads_reads_lists_counts_and_knows_problems(
    fresh: Fresh, tmp_path: Path
) -> None:
    python = interpreter("client", HERE / "requirements.lock")
    pictures = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, file in enumerate(pictures):
        file.write_bytes(picture(seed))
    settings = fresh(mode="dummy", auth="on", after_wait_s=30)
    with stages(settings):
        document = tmp_path / "openapi.json"
        document.write_bytes(httpx.get(f"{settings.api_url}/openapi.json", timeout=60).content)
        assert generated(python, document, tmp_path / "circles_client")
        said = ran(
            [python, HERE / "flow.py", settings.api_url, key(settings, "one"), *pictures],
            {"PYTHONPATH": str(tmp_path)},
        )
    assert said == "all of it as the document says\n"


def generated(python: Path, document: Path, folder: Path) -> bool:
    """Whether a package was made. The generator fails for anything that it leaves out."""
    config = HERE / "generator.yaml"
    made: list[str | Path] = [
        "generate",
        "--path",
        document,
        "--output-path",
        folder,
        "--meta",
        "none",
        "--config",
        config,
    ]
    # It looks for the formatter that came with it on the path.
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    ran([python, "-m", "openapi_python_client", *made, "--fail-on-warning"], {"PATH": path})
    return (folder / "client.py").exists()


def ran(command: list[str | Path], more: dict[str, str]) -> str:
    """What a program printed, once it ended well."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | more
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout
