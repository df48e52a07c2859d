"""A peer that says exactly what a test wants said: for answers that no real tenant gives, and for looking at requests.

Everything that the embedded tenant can do, and do wrong on purpose, is tested with that one instead.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h11
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Seen(NamedTuple):
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Said = bytes | Awaitable[bytes] | AsyncIterable[bytes]
Script = Callable[[Seen], Said]


class Peer:
    """Where the peer listens, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []


def answer(status: int = 200, body: bytes = b'{"status":"success","result":[]}', **headers: str) -> bytes:
    """A whole answer; `content_type=` and the like become headers."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def peer(script: Script, context: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """A server that answers each request with the bytes that `script` gives, perhaps without end, and then closes."""
    found = Peer("")

    async def serve(stream: trio.abc.Stream) -> None:
        line = h11.Connection(h11.SERVER)
        async with stream:
            try:
                seen = await _request(line, stream)
                if seen is None:
                    return
                found.seen.append(seen)
                said = script(seen)
                if isinstance(said, AsyncIterable):
                    async with aclosing(aiter(said)) as pieces:
                        async for piece in pieces:
                            await stream.send_all(piece)
                else:
                    await stream.send_all(said if isinstance(said, bytes) else await said)
                if context is None:
                    # a close with bytes unread would be a reset, and might overtake the answer
                    await stream.send_eof()
                    await stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
                return  # the client has gone, which some tests are about

    async with trio.open_nursery() as nursery:
        if context is None:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            port = listeners[0].socket.getsockname()[1]
        else:
            listening = await nursery.start(partial(trio.serve_ssl_over_tcp, serve, 0, context, host="127.0.0.1"))
            port = listening[0].transport_listener.socket.getsockname()[1]
        found.url = f"http{'s' if context else ''}://{name}:{port}"
        yield found
        nursery.cancel_scope.cancel()


async def _request(line: h11.Connection, stream: trio.abc.Stream) -> Seen | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = line.next_event()
        if event is h11.NEED_DATA:
            line.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Seen(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


def certificate(
    folder: Path,
    name: str = "localhost",
    *,
    starts: timedelta = timedelta(days=-2),
    ends: timedelta = timedelta(days=2),
) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate that nobody signed but itself, and the file of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown, hidden = folder / f"{name}.pem", folder / f"{name}.key"
    shown.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    hidden.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, hidden)
    return context, shown
