"""Become a command that the kernel ends when the supervisor ends, however the supervisor ends.

Run as a script between fork and exec (see process.py). A `preexec_fn` would do the same in the forked
copy of a process with threads, where any lock may be held for ever; this is a fresh interpreter.
Linux only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(supervisor: str, death_signal: str, *command: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal)) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    # The signal covers deaths from now on; this covers one that came first.
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor ended before this command began")
    # Python ignores SIGPIPE and exec would hand that down.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(*sys.argv[1:])
