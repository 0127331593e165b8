"""Runs as a program: gives up root, ties itself to its parent's life, then becomes the program it was asked to run.

It replaces `preexec_fn`, which may deadlock in a process with threads. Linux forgets the death signal when
the user id changes, so the order matters: groups, user, death signal, program. Signals that ask to end are held back
by the parent's mask until then: Python as it starts may drop the error that one of them raises, and go on.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_STARTED = 127
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Python ignores these, and the shell SIGINT of what runs in the background; a new program would inherit that.
BY_DEFAULT = (*HELD_BACK, signal.SIGPIPE, signal.SIGXFSZ)


def die_with_parent(*, parent: int, death_signal: int) -> None:
    """Ask Linux for a signal when the parent dies; other systems rely on the clean-up of the next start."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(NOT_STARTED)


def become(*, uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    parent, death_signal, uid, gid = (int(word) for word in sys.argv[1:5])
    program = sys.argv[5:]
    if uid >= 0:
        become(uid=uid, gid=gid)
    die_with_parent(parent=parent, death_signal=death_signal)
    for number in BY_DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)  # one that has come already ends the process here
    try:
        os.execvp(program[0], program)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
