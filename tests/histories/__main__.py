"""`python -m tests.histories --seconds 300 --seed 1`: reads of a stack whose API processes die, judged.

Clients upload and read with the positions they get, others page through the list, each request on a
connection of its own to one of four processes; one after the other is killed, and the view's files are
merged and deleted meanwhile. `--history FILE` keeps all that was asked and answered, one JSON a line.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from random import Random

import orjson

from bench.stack import infrastructure
from tests.histories.judge import violations
from tests.histories.run import DISTURBED, happened, told
from tests.integration.flow import stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--history", type=Path)
    asked = parser.parse_args()
    with infrastructure(partitions=4) as settings:
        settings = settings.model_copy(update=DISTURBED)
        with stages(settings) as supervisor:
            pid = supervisor.pids()["api"]
            history = asyncio.run(happened(settings, pid, asked.seconds, Random(asked.seed)))
            if supervisor.pids().get("api") != pid:
                sys.exit("the parent of the API's processes ended, which nobody killed")
    found = violations(history)
    print(told(history, found))
    if asked.history:
        operations = [*history.uploads, *history.reads, *history.walks]
        asked.history.write_bytes(
            b"\n".join(orjson.dumps([type(one).__name__, one], default=list) for one in operations)
        )
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
