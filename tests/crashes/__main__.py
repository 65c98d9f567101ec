"""Kill materializers at every step of a commit, and compare the view with the log: `make crashes`.

Two members fold a log with copies, out of order and on other partitions. Each life of a member ends with
SIGKILL at a step of a commit or at any moment; a third member comes and goes meanwhile. Then, with both
alive, Kafka and PostgreSQL are killed, the disk is full for a while, and members sleep and wake to find
themselves replaced. In the end the view has to be, row for row, what the log folded at once is.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.crashes.run import Run, infrastructure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--outages", type=int, default=3, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("stamina").setLevel(logging.ERROR)  # that Kafka takes a moment is no news
    with TemporaryDirectory(prefix="crashes-", ignore_cleanup_errors=True) as name:
        with infrastructure(Path(name)) as (settings, supervisor):
            run = Run(settings, random.Random(options.seed), lambda line: print(line, flush=True))
            run.crashes(options.kills)
            found = run.verdict()
            if options.outages and not any(found.values()):
                run.outages(options.outages, supervisor)
                found = run.verdict()
        if any(found.values()):
            Path("crashes.log").write_bytes((Path(name) / "materializer.log").read_bytes())
            print("what the materializers said is in crashes.log")
    sys.exit(1 if any(found.values()) else 0)


if __name__ == "__main__":
    main()
