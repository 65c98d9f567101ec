"""A stack of its own, started from docker-compose.yml as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).parents[2]
OURS = ("model", "worker", "materializer", "maintainer", "replayer", "api")


class Stack:
    """One compose project under a name that no other run uses, on a port that is free."""

    def __init__(self) -> None:
        self.name = f"circles-{uuid4().hex[:8]}"
        self._environment = {
            **os.environ,
            "CIRCLES_IMAGE": f"circles:{self.name}",
            "CIRCLES_PORT": "0",
            "CIRCLES_SETTINGS": "/nonexistent",  # not the ones of whoever runs the tests
        }

    def compose(self, *arguments: str) -> str:
        """What `docker compose` printed. Fails with what the containers said."""
        ended = self._run(*arguments)
        if ended.returncode:
            raise AssertionError(f"{arguments}\n{ended.stderr}\n{self._run('logs', '--tail', '20').stdout}")
        return ended.stdout.strip()

    def up(self, *more: str) -> None:
        """Return once everything is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "300", *more)

    def api_url(self) -> str:
        """Where it is now: a free port is another one at each start."""
        return "http://" + self.compose("port", "api", "8000")

    def inspected(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service)
        found: list[dict[str, Any]] = json.loads(_docker("inspect", container))
        return found[0]

    def kill(self, service: str) -> None:
        """SIGKILL for the service's process, from inside: `docker kill` is a stop and no crash."""
        self.compose("exec", service, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")

    def remove(self) -> None:
        """Leave nothing: no container, network, volume or image."""
        self._run("down", "--volumes", "--timeout", "5")
        subprocess.run(["docker", "image", "rm", f"circles:{self.name}"], capture_output=True, check=False)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        compose = ["docker", "compose", "--project-name", self.name, "--env-file", os.devnull]
        return subprocess.run(
            [*compose, *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout
