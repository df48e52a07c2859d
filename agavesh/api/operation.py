"""How an operation is declared: a method's signature, a route, a summary.

`@operation` turns a method of a `Service` into a catalogue entry (`Operation`) and a call. The client calls by it, the
tenant routes by it, the shell's `api` command and the reference describe by it. Nothing here knows HTTP libraries.
"""

from __future__ import annotations

import functools
import inspect
import os
import typing
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, Protocol, Self, TypedDict, TypeVar, overload

import msgspec

from agavesh.api.record import Page
from agavesh.api.words import Place, Word

P = ParamSpec("P")
R = TypeVar("R")
A_co = TypeVar("A_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)

Answer = Literal["record", "page", "bytes", "nothing"]


class More(TypedDict, total=False):
    """What every call takes beside its documented parameters."""

    search: Mapping[str, Any]  # further query keys, e.g. {"status.in": "FAILED,STOPPED"}
    filter: str  # comma list of fields to keep, or "*"
    headers: Mapping[str, str]
    bulk: bool | None  # a large transfer, behind which calls do not wait; its size tells, if this does not
    nonce: str  # actors: opens one actor without a token


class Download(Protocol):
    """The body of a download: an async context manager, or one `await …read()`."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def status(self) -> int: ...
    @property
    def size(self) -> int | None: ...
    async def __aenter__(self) -> Download: ...
    async def __aexit__(self, *failure: object) -> None: ...
    def chunks(self) -> AsyncIterator[bytes]: ...
    async def read(self) -> bytes: ...


class Content(Protocol):
    """The body of a download for who waits for it: the words of files, and of a `Response` of requests."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def status(self) -> int: ...
    @property
    def status_code(self) -> int: ...
    @property
    def size(self) -> int | None: ...
    @property
    def content(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *failure: object) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def iter_content(self, chunk_size: int | None = 1) -> Iterator[bytes]: ...
    def read(self, size: int = -1) -> bytes: ...
    def json(self) -> Any: ...
    def save(self, path: str | os.PathLike[str]) -> None: ...
    def raise_for_status(self) -> None: ...
    def close(self) -> None: ...


class Param(typing.NamedTuple):
    """One parameter of an operation: `place` is where it stands in the request."""

    name: str
    place: Place
    word: Word
    type: Any
    required: bool


class Operation:
    """One entry of the catalogue. `key` is its documented name, as in `files.list`.

    `also` maps other documented names of a parameter to ours. `token` is False where the platform wants the user's name
    and password instead. `documented` is False for what AgavePy's page leaves out. The signature is read when first
    asked for.
    """

    def __init__(
        self, service: str, name: str, method: str, path: str, signature: Callable[..., Any], also: dict[str, str],
        *, documented: bool, token: bool,
    ) -> None:  # fmt: skip
        self.service, self.name, self.method, self.path = service, name, method, path
        self.signature, self.also = signature, also
        self.documented, self.token = documented, token
        self.key = f"{service}.{name}"
        self.summary = (signature.__doc__ or "").strip().splitlines()[0]

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.signature, include_extras=True)

    @functools.cached_property
    def params(self) -> dict[str, Param]:
        """The documented parameters, in the signature's order."""
        found = {}
        for name, parameter in inspect.signature(self.signature).parameters.items():
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                continue
            word, kind = _word(self._hints[name])
            place: Place = "path" if f"{{{name}}}" in self.path else word.place
            found[name] = Param(name, place, word, kind, parameter.default is inspect.Parameter.empty)
        return found

    @functools.cached_property
    def result(self) -> Any:
        """The type of one record of the answer: a Struct, `Any`, or None."""
        declared = self._hints["return"]
        return typing.get_args(declared)[0] if self.answer == "page" else declared

    @functools.cached_property
    def answer(self) -> Answer:
        """What comes back: one record, a page of them, bytes, or nothing that is worth decoding."""
        declared = self._hints["return"]
        if declared is Download:
            return "bytes"
        if declared is type(None):
            return "nothing"
        return "page" if typing.get_origin(declared) is Page else "record"

    def __repr__(self) -> str:
        return f"<{self.key} {self.method} {self.path}>"


def _word(hint: Any) -> tuple[Word, Any]:
    """The Word and the bare type in an annotation such as `Limit | None`; a Struct, a dict or bytes are a body."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, _UnionType) else (hint,)
    for option in options:
        if typing.get_origin(option) is typing.Annotated:
            kind, *notes = typing.get_args(option)
            for note in notes:
                if isinstance(note, Word):
                    return note, kind
    if bytes in options:
        return Word("the request's body: bytes", place="body"), bytes
    names = [option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)]
    described = names[0].__name__ if names else "any JSON value"
    return Word(f"the request's body: {described}", place="body"), names[0] if names else Any


_UnionType = type(int | str)


class Caller(Protocol):
    """What carries an operation out: a coroutine for JSON answers, a `Download` for bytes."""

    def __call__(self, operation: Operation, arguments: Mapping[str, Any]) -> Any: ...


class Service:
    """A group of operations. Subclasses hold signatures only; the caller that they are bound to does the work."""

    operations: ClassVar[dict[str, Operation]]

    def __init_subclass__(cls) -> None:
        service = cls.__name__.lower()
        declared = {name: call.route for name, call in vars(cls).items() if hasattr(call, "route")}
        if not declared:  # its parent's, called in another way
            return
        cls.operations = {}
        for name, route in declared.items():
            vars(cls)[name].operation = cls.operations[name] = Operation(service, name, *route[0], **route[1])

    def __init__(self, call: Caller) -> None:
        self._call = call


class Blocking:
    """Marks a service whose caller waits: its calls give the answer itself, for the type checker and in fact."""


class Call(Protocol[P, A_co, B_co]):
    """A declared method as it is seen on a service: of one that is awaited, or of a `Blocking` one."""

    @overload
    def __get__(self, service: Blocking, kind: Any = None) -> Callable[P, B_co]: ...
    @overload
    def __get__(self, service: Service, kind: Any = None) -> Callable[P, A_co]: ...


class _Declare(Protocol):
    @overload
    def __call__(
        self, signature: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]
    ) -> Call[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, signature: Callable[Concatenate[Any, P], Download]) -> Call[P, Download, Content]: ...


def operation(
    method: str, path: str, *, also: dict[str, str] | None = None, documented: bool = True, token: bool = True
) -> _Declare:
    """Declare a method of a Service to be the operation at `path`; its body is never run."""

    def declare(signature: Callable[..., Any]) -> Any:
        @functools.wraps(signature)
        def call(self: Service, /, **arguments: Any) -> Any:
            return self._call(call.operation, arguments)  # type: ignore[attr-defined]  # set by `Service`

        route = ((method, path, signature, also or {}), {"documented": documented, "token": token})
        call.route = route  # type: ignore[attr-defined]  # read by `Service`
        return call

    return declare
