"""`python -m tests.schemas_fuzz --cases 20000`: schemathesis against a running stack, AUTH off and on.

It makes requests, right and wrong ones, of what `/openapi.json` says, follows what answers lead to, and holds
each answer against the document: no 5xx, no status, type or body that is not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from bench.stack import infrastructure
from streams.settings import Settings
from tests.integration.access import client, key
from tests.integration.flow import picture, stages

FUZZED = {"mode": "dummy", "detection_wait_s": 0.0, "after_wait_s": 0.1, "log_level": "WARNING"}
"""Settings of a run: nothing that a request may ask to wait for is waited for long."""
HOOKS = Path(__file__).with_name("schemas_fuzz_hooks.py")
CONFIGURATION = f"""
hooks = "{HOOKS}"
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]
negative_data_rejection.expected-statuses = ["4xx", "504"]
[[operations]]
include-operation-id = ["follow_changes", "follow_replay"]
request-timeout = 0.5
[[operations]]
# Each answer of these costs a process and seconds.
include-operation-id = ["compare_versions", "list_compared_images"]
phases.coverage.enabled = false
request-timeout = 90
[[operations]]
# Which words are a requirement is said in words.
include-operation-id = "promote"
checks.positive_data_acceptance.enabled = false
[[operations]]
# Its path is an image's, too: GET is allowed, and answers that there is no such image.
include-operation-id = "get_objects_of_images"
checks.allow_header_conformance.enabled = false
"""
"""504 is what a position gets that the view does not come to in time, 410 a moment that is not kept, whatever
else is wrong with a request. A stream is read for half a second."""
PHASES, AGAIN = "examples,coverage,fuzzing,stateful", "fuzzing,stateful"
"""Of the first step, and of those behind it: examples and coverage are the same each time."""
STEP = 2_000
"""Cases of one run of schemathesis, which tells nothing before its end."""


def schemathesis(
    settings: Settings, cases: int, seed: int, credential: str = "", phases: str = PHASES
) -> tuple[int, int, str]:
    """Its exit status, how many requests it made, and what it said. cases: about so many requests.

    Whatever it finds does not end it, so that one run names all.
    """
    operations = len(_operations(settings))
    headers = ["-H", f"Authorization: Bearer {credential}"] if credential else []
    with TemporaryDirectory() as folder:
        report = Path(folder) / "events.ndjson"
        configuration = Path(folder) / "schemathesis.toml"
        configuration.write_text(CONFIGURATION)
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run"),
            f"{settings.api_url}/openapi.json",
            *("--phases", phases),
            *("--continue-on-failure", "--seed", str(seed)),
            *("--max-examples", str(max(1, cases // operations)), "--generation-database", "none"),
            *("--suppress-health-check", "all", "--request-timeout", "20", "--no-color"),
            *("--report", "ndjson", "--report-ndjson-path", str(report), *headers),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        return done.returncode, sum(_requests(report)), done.stdout + done.stderr


def _operations(settings: Settings) -> list[str]:
    paths = httpx.get(f"{settings.api_url}/openapi.json", timeout=60).json()["paths"]
    return [method for operations in paths.values() for method in operations]


def _requests(report: Path) -> Iterator[int]:
    """How many requests each scenario of a report had."""
    for line in report.read_text().splitlines() if report.exists() else ():
        scenario = json.loads(line).get("ScenarioFinished")
        if scenario:
            yield len(scenario["recorder"].get("cases", ()))


@contextmanager
def stack(settings: Settings) -> Iterator[str]:
    """The project's processes with some images; yields what a caller of all projects shows, if anything."""
    with stages(settings):
        credential = key(settings, None, "ingest", "read", "administer") if settings.auth == "on" else ""
        with client(settings, credential) as api:
            for seed in range(3):
                answer = api.post("/images/", files={"file": ("picture", picture(seed))})
                answer.raise_for_status()
        yield credential


def fuzzed(settings: Settings, cases: int, seed: int, credential: str) -> bool:
    """Whether something was found in so many cases at least, made in steps; says what, and how many."""
    requests, phases, found = 0, PHASES, False
    while requests < cases:
        status, more, said = schemathesis(settings, STEP, seed, credential, phases)
        requests, seed, phases, found = requests + more, seed + 1, AGAIN, found or status != 0
        print(said if status else f"{more:,} requests, nothing found", flush=True)
        if not more:
            return True
    print(f"AUTH={settings.auth}: {requests:,} requests, {'something' if found else 'nothing'} was found")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--auth", choices=("off", "on", "both"), default="both")
    asked = parser.parse_args()
    kinds = ("off", "on") if asked.auth == "both" else (asked.auth,)
    failed = False
    for auth in kinds:
        with infrastructure(partitions=4) as settings:
            settings = settings.model_copy(update=FUZZED | {"auth": auth})
            with stack(settings) as credential:
                failed |= fuzzed(settings, asked.cases // len(kinds), asked.seed, credential)
    sys.exit(failed)


if __name__ == "__main__":
    main()
