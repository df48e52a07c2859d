"""What one tenant takes at most, from all who ask it. The values and why they are so; others keep them.

A bound is far above what honest programs need (a mount has at most 64 connections) and below what would bring the
process down. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass, replace

FILES = 65536  # open files that are enough for anybody
RESERVED = 256  # open files that are neither connections nor what connections read and write


@dataclass(frozen=True)
class Bounds:
    """The bounds of one tenant."""

    connections: int = 4096  # open at once; the one that has been idle longest makes room
    requests: int = 1024  # under way at once; further ones are 503
    head: int = 128 * 1024  # of a request's line and headers: paths may be long, percent-encoded even more so
    body: int = 16 * 2**20  # of a body that is read whole; uploads go to the disk and are bounded by it
    depth: int = 100  # of objects and arrays in each other in JSON, as in the platform's own document store
    unwanted: int = 2**30  # of a body that is read only so that its sender hears why it was refused
    idle: float = 150  # that an unused connection stays open
    head_time: float = 30  # from the first byte of a request's head to its last
    pause: float = 60  # without a byte of a body, or without an answer being taken
    slowest: float = 1024  # per second: a body that comes more slowly is given up after `pause`

    def within(self, files: int) -> Bounds:
        """These bounds in a process that may open so many files: a connection has one, and may need two more."""
        return replace(self, connections=max(min(self.connections, (files - RESERVED) // 3), 1))


def open_files() -> int:
    """How many files this process may open, raised as far as that goes without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return FILES if soft == resource.RLIM_INFINITY else soft
