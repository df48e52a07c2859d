"""A long line to something near: a TCP proxy that adds a delay, and a bandwidth for all its connections together.

    python -m tests.bench.delay PORT MS [MBIT]      adds MS to the round trip to PORT; prints its own port

Half of MS goes by in each direction, and a connection's handshake takes a whole one. A connection has at most WINDOW
bytes unacknowledged in each direction, so that it carries at most a window a round trip. With MBIT each direction is a
line of so many megabits a second, shared fairly by the connections. No loss, no slow start, no jitter.

Every line on standard input is answered by a line of JSON: what came by until now.

It is one loop over epoll, not trio or asyncio: the cores that it takes are those of what is measured. The delay is the
same for all, so what is on its way is a queue, not a heap of timers.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

WINDOW = 6 * 2**20  # bytes: what Linux allows by default, if both ends let it tune itself
PIECE = 256 * 2**10  # bytes read at once
SLACK = 0.002  # seconds that a line with a bandwidth may be ahead, since we are not called to the microsecond


class Later:
    """Acts that are due one way's delay after they were said: first come, first served."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.queue: collections.deque[tuple[float, Callable[[Any], object], Any]] = collections.deque()

    def say(self, act: Callable[[Any], object], argument: Any = None) -> None:
        self.queue.append((time.monotonic() + self.delay, act, argument))

    def act(self, now: float) -> None:
        while self.queue and self.queue[0][0] <= now:
            _, act, argument = self.queue.popleft()
            act(argument)


class Line(Later):
    """One direction, for all connections. `sources` are those that may send."""

    def __init__(self, delay: float, rate: float | None) -> None:
        super().__init__(delay)
        self.sources = select.epoll()
        self.rate = rate  # bytes a second
        self.piece = PIECE if rate is None else min(max(int(rate * SLACK / 2), 1500), PIECE)
        self.free = 0.0  # when the last byte that was given to it will have left
        self.carried = 0  # bytes

    def busy(self, now: float) -> bool:
        return self.free > now + SLACK

    def carry(self, act: Callable[[bytes], object], piece: bytes) -> None:
        now = time.monotonic()
        self.carried += len(piece)
        if self.rate is not None:
            self.free = now = max(now, self.free) + len(piece) / self.rate
        self.queue.append((now + self.delay, act, piece))


class Way:
    """One direction of one connection: from `source` by `line` to `sink`."""

    def __init__(self, proxy: Proxy, line: Line, source: socket.socket) -> None:
        self.proxy, self.line, self.source = proxy, line, source
        self.sink: socket.socket | None = None
        self.outbox: collections.deque[memoryview | None] = collections.deque()  # None: the end
        self.room = WINDOW
        self.reading = False
        self.blocked = False

    def open(self) -> None:
        self.reading = True
        self.line.sources.register(self.source, select.EPOLLIN)

    def read(self) -> None:
        try:
            piece = self.source.recv(min(self.line.piece, self.room))
        except BlockingIOError:
            return
        self.room -= len(piece)
        if not piece or self.room <= 0:
            self.pause()
        self.line.carry(self.arrive, piece)

    def pause(self) -> None:
        if self.reading:
            self.reading = False
            self.line.sources.unregister(self.source)

    def arrive(self, piece: bytes) -> None:
        self.outbox.append(memoryview(piece) if piece else None)
        if not self.blocked:
            self.write()

    def write(self) -> None:
        if self.sink is None or self.sink.fileno() < 0:
            return
        try:
            while self.outbox:
                piece = self.outbox[0]
                if piece is None:
                    self.outbox.clear()
                    self.sink.shutdown(socket.SHUT_WR)
                    self.proxy.ended(self)
                    return
                sent = self.sink.send(piece)
                self.proxy.later.say(self.acknowledged, sent)
                if sent == len(piece):
                    self.outbox.popleft()
                else:
                    self.outbox[0] = piece[sent:]
            if self.blocked:
                self.blocked = False
                self.proxy.sinks.unregister(self.sink)
        except BlockingIOError:
            if not self.blocked:
                self.blocked = True
                self.proxy.sinks.register(self.sink, select.EPOLLOUT)
        except OSError:
            self.proxy.close(self)

    def acknowledged(self, count: int) -> None:
        stopped = self.room <= 0
        self.room += count
        if stopped and self.source.fileno() >= 0:
            self.open()


class Proxy:
    """All connections to `port` of this machine."""

    def __init__(self, port: int, delay: float, rate: float | None) -> None:
        self.port = port
        self.later = Later(delay / 2)
        self.up, self.down = Line(delay / 2, rate), Line(delay / 2, rate)
        self.sinks = select.epoll()
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.ways: dict[int, Way] = {}  # by the descriptor of their source
        self.others: dict[Way, Way] = {}
        self.over: set[Way] = set()

    def serve(self) -> None:
        """For ever."""
        doors: list[int] = [self.listener.fileno(), sys.stdin.fileno()]
        lines = (self.up, self.down)
        while True:
            now = time.monotonic()
            due = [queue.queue[0][0] for queue in (self.later, *lines) if queue.queue]
            due += [line.free - SLACK for line in lines if line.busy(now)]
            wanted = [line.sources.fileno() for line in lines if not line.busy(now)]
            # select waits to the microsecond, epoll to the millisecond; the descriptors here are few and small
            timeout = max(0.0, min(due) - now) if due else None
            ready = select.select([*doors, self.sinks.fileno(), *wanted], [], [], timeout)[0]
            for queue in (self.later, *lines):
                queue.act(time.monotonic())
            for line in lines:
                if line.sources.fileno() in ready:
                    self._read(line)
            if self.sinks.fileno() in ready:
                for descriptor, _ in self.sinks.poll(0):
                    if (way := self.ways.get(descriptor)) is not None:
                        self.others[way].write()
            if doors[0] in ready:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self._accept()
            if len(doors) > 1 and doors[1] in ready:
                if not os.read(doors[1], 4096):
                    del doors[1]
                    continue
                told = {"connections": self.connections, "up": self.up.carried, "down": self.down.carried}
                print(json.dumps(told), flush=True)

    def _read(self, line: Line) -> None:
        # one after another where they share a bandwidth: what epoll has told goes to the end of its list
        most = -1 if line.rate is None else 1
        while told := line.sources.poll(0, most):
            for descriptor, _ in told:
                if (way := self.ways.get(descriptor)) is not None:
                    try:
                        way.read()
                    except OSError:
                        self.close(way)
            if line.rate is None or line.busy(time.monotonic()):
                return

    def _accept(self) -> None:
        near = _ready(self.listener.accept()[0])
        self.connections += 1
        there = Way(self, self.up, near)
        self.ways[near.fileno()] = there
        # the kernel has shaken hands already: what the client says now it could have said only a round trip later
        self.later.say(lambda _: self.later.say(lambda _: self._greeted(there)))

    def _greeted(self, there: Way) -> None:
        there.open()
        self.later.say(self._connect, there)

    def _connect(self, there: Way) -> None:
        try:
            far = _ready(socket.create_connection(("127.0.0.1", self.port)))
        except OSError:
            del self.ways[there.source.fileno()]
            there.pause()
            there.source.close()
            return
        back = Way(self, self.down, far)
        self.ways[far.fileno()] = back
        there.sink, back.sink = far, there.source
        self.others[there], self.others[back] = back, there
        back.open()
        there.write()

    def ended(self, way: Way) -> None:
        """Its last byte was written. When both ways are through, the connection is over."""
        self.over.add(way)
        if self.others[way] in self.over:
            self.close(way)

    def close(self, way: Way) -> None:
        if (other := self.others.pop(way, None)) is None:
            if self.ways.pop(way.source.fileno(), None) is not None:
                way.pause()
                way.source.close()
            return
        for each in (way, other):
            self.others.pop(each, None)
            self.over.discard(each)
            self.ways.pop(each.source.fileno(), None)
            each.pause()
            if each.blocked and each.sink is not None:
                self.sinks.unregister(each.sink)
            each.outbox.clear()
        for each in (way, other):
            each.source.close()


def _ready(connection: socket.socket) -> socket.socket:
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main() -> None:
    port, delay, *rate = sys.argv[1:]
    proxy = Proxy(int(port), float(delay) / 1e3, float(rate[0]) * 1e6 / 8 if rate else None)
    print(proxy.listener.getsockname()[1], flush=True)
    proxy.serve()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
