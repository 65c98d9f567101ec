"""`circles topics`, as the container of that name runs it; that it makes them, the whole stack shows."""

import os
import subprocess
import sys


def test_a_log_that_does_not_answer_is_named_in_one_line_and_fails() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "topics", "--wait", "1"],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("no topics at 127.0.0.1:1: ")
    assert ended.stderr.count("\n") == 1
