"""The wire: a connected socket, spoken to directly. trio is asked only where there is something to wait for.

A small answer is a few hundred microseconds of Python; a stream of trio's takes a good part of that for a send that the
kernel takes at once. It knows no HTTP.
"""

from __future__ import annotations

import socket

import trio

PIECE = 64 * 1024  # bytes that are received at once
UNSTOPPED = 8  # full pieces that are taken in one go, before others have their turn


class Wire(trio.abc.HalfCloseableStream):
    """The socket of a stream, whose place it takes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = socket.socket(fileno=stream.socket.detach())
        self.socket.setblocking(False)
        self._unstopped = 0

    def send_at_once(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes the kernel has taken. BrokenResourceError if the other side has gone."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as reason:
            raise trio.BrokenResourceError(str(reason)) from reason

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """All of `data`. BrokenResourceError if the other side has gone, ClosedResourceError if we have."""
        sent = self.send_at_once(data)
        while sent < len(data):
            await trio.lowlevel.wait_writable(self.socket)
            sent += self.send_at_once(memoryview(data)[sent:])

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come, as soon as there is something; b"" at the end."""
        most = max_bytes or PIECE
        try:
            if not 0 < self._unstopped < UNSTOPPED:
                await trio.lowlevel.wait_readable(self.socket)
            while True:
                try:
                    piece = self.socket.recv(most)
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(self.socket)
                    continue
                # after a full piece there is probably another
                self._unstopped = self._unstopped % UNSTOPPED + 1 if len(piece) == most else 0
                return piece
        except OSError as reason:
            raise trio.BrokenResourceError(str(reason)) from reason

    async def wait_send_all_might_not_block(self) -> None:
        """Until the kernel's buffer has room."""
        await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        """Nothing more comes from us."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as reason:
            raise trio.BrokenResourceError(str(reason)) from reason

    def close(self) -> None:
        """At once; what was sent still goes out."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
        self.socket.close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await trio.lowlevel.checkpoint()
