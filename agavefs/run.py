"""Obey: run a program as if it stood in our place. What is sent to us goes to it, and its exit status is ours."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence

# those that end a program, or that a batch system warns it by
_PASSED_ON = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
_FROM_TERMINAL = 0x80  # si_code SI_KERNEL: all in the foreground have it, the program too
NOT_RUN, NOT_FOUND = 126, 127


def obey(command: Sequence[str], environ: Mapping[str, str], passed_on: set[int]) -> int:
    """Run it to its end; the status as a shell has it. OSError if it can't be run at all. `passed_on` gets the signals
    that were sent to us.
    """
    watched = {signal.SIGCHLD, *_PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        program = subprocess.Popen(
            command,
            env=environ,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),  # we have no threads
        )
        while program.poll() is None:
            told = signal.sigwaitinfo(watched)
            if told.si_signo in _PASSED_ON and told.si_code != _FROM_TERMINAL:
                program.send_signal(told.si_signo)
                passed_on.add(told.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def with_place(command: Sequence[str], place: str) -> list[str]:
    """The words of a command with the place for each `{}`, as find(1) does it."""
    return [word.replace("{}", place) for word in command]
