"""An HTTP server that keeps every request as it came, so that what two clients send can be compared.

It speaks TLS when given a context. It understands nothing of the platform: the answer to a request is what `answer`
says. A `Wire` is a request in the form in which two of them are compared: what a server would make of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from python_multipart.multipart import MultipartParser, parse_options_header


@dataclass(frozen=True)
class Part:
    """One part of a multipart body. `name` and `filename` are the header's bytes."""

    name: bytes
    filename: bytes | None
    kind: bytes
    content: bytes


@dataclass(frozen=True)
class Wire:
    """A request as a server reads it: path decoded once, query as sorted pairs, body by its content type."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    kind: str = ""
    body: Any = b""
    authorization: str | None = None

    def without_authorization(self) -> Wire:
        return replace(self, authorization=None)


def wire(method: str, target: str, headers: dict[str, str], body: bytes) -> Wire:
    """The comparable form of a request; the names of `headers` are in lower case."""
    path, _, query = target.partition("?")
    kind, options = parse_options_header(headers.get("content-type", ""))
    content: Any = body
    if kind == b"application/json":
        with contextlib.suppress(ValueError):  # what is no JSON is kept as it came
            content = json.loads(body)
    elif kind == b"application/x-www-form-urlencoded":
        content = sorted(parse_qsl(body.decode(), keep_blank_values=True))
    elif kind == b"multipart/form-data":
        content = parts(body, options[b"boundary"])
    pairs = tuple(sorted(parse_qsl(query, keep_blank_values=True)))
    return Wire(
        method, unquote(path, errors="strict"), pairs, kind.decode(), content, headers.get("authorization")
    )  # fmt: skip


def parts(body: bytes, boundary: bytes) -> list[Part]:
    """The parts of a multipart body, in order."""
    found: list[Part] = []
    header: list[bytes] = [b"", b""]
    headers: dict[bytes, bytes] = {}
    content = bytearray()

    def begin() -> None:
        headers.clear()
        content.clear()

    def field(data: bytes, start: int, stop: int) -> None:
        header[0] += data[start:stop]

    def value(data: bytes, start: int, stop: int) -> None:
        header[1] += data[start:stop]

    def header_end() -> None:
        headers[header[0].lower()] = header[1]
        header[:] = b"", b""

    def end() -> None:
        # not by a header parser: the very bytes between the quotes are what is compared
        options = dict(re.findall(rb'; ([\w*]+)="([^"]*)"', headers[b"content-disposition"]))
        kind = headers.get(b"content-type", b"")
        found.append(Part(options[b"name"], options.get(b"filename"), kind, bytes(content)))

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_field": field,
            "on_header_value": value,
            "on_header_end": header_end,
            "on_part_data": lambda data, start, stop: content.extend(data[start:stop]),
            "on_part_end": end,
        },
    )
    parser.write(body)
    parser.finalize()
    return found


Answer = Callable[[Wire, dict[str, str]], bytes]


@dataclass
class Recorder:
    """A running recorder: its URL, and the requests so far by the case that their `X-Case` header names."""

    url: str
    cases: dict[str, list[Wire]]


@contextmanager
def recording(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """Record on a free port of loopback until the block ends. A request that cannot be read is kept as an error."""
    cases: dict[str, list[Wire]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer leaves in one piece
        timeout = 30  # seconds; a client that keeps its connection open must not keep us

        def do_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            # the request line, not self.path: that one has had its leading slashes squeezed
            target = self.requestline.split(" ")[1]
            heard = wire(self.command, target, headers, self._body(headers))
            cases.setdefault(headers.get("x-case", ""), []).append(heard)
            body = answer(heard, headers)
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", "0")))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # a handler may sit on an idle connection: closing must not wait for it
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Recorder(f"{scheme}://localhost:{server.server_address[1]}", cases)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
