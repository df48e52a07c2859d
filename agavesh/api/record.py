"""What answers are made of: Record, a typed object; Page, a list of them. And how bytes become one.

Decoding never fails for one bad record: a page is decoded whole, and where that does not fit, record by record; a
record that does not fit is decoded field by field, and a field that does not fit raises `BadField` when it is read.
Unknown fields are ignored, and null counts as absent.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar, overload

import msgspec

T = TypeVar("T")


class BadField(ValueError):
    """A field that came in another shape than the platform describes. Raised when it is read."""


class Record(msgspec.Struct, kw_only=True, dict=True, weakref=True, omit_defaults=True):
    """A record of the platform. `json` is how it came over the wire, `links` its `_links`."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __getattr__(self, name: str) -> Any:
        # reached only when the field is unset: it did not fit
        if (reason := self.__dict__.get("_misfits", {}).get(name)) is not None:
            raise BadField(f"{type(self).__name__}.{name}: {reason}; the answer as it came is in .json")
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def _known(self) -> dict[str, Any]:
        """The fields that fit."""
        misfits = self.__dict__.get("_misfits", {})
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in misfits}

    # in place of msgspec's, which stumble over unset fields
    def __repr__(self) -> str:
        known = ", ".join(f"{name}={value!r}" for name, value in self._known().items())
        return f"{type(self).__name__}({known})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Record) and self._known() == other._known()

    __hash__ = None  # type: ignore[assignment]  # a record may change

    @property
    def json(self) -> bytes:
        """The bytes of this record as they came, or, for one we made, as they would go.

        A record of a page has them for as long as the page is kept; after that they are gone: LookupError.
        """
        if (raw := self.__dict__.get("_json")) is not None:
            return bytes(raw)
        if (page := self.__dict__.get("_page")) is None:
            return msgspec.json.encode(self)
        if (kept := page()) is None:
            raise LookupError("the page that this record came with is no longer kept, nor are its bytes")
        return bytes(kept.json_of(self))

    @property
    def links(self) -> dict[str, Any]:
        """The record's `_links` by relation, or {}."""
        links = msgspec.json.decode(self.json, type=_Linked)._links
        return links if isinstance(links, dict) else {}

    @property
    def _links(self) -> dict[str, Any]:
        return self.links

    # by key, as scripts of AgavePy read their dictionaries: `job["id"]`, `job.get("message", "")`, `dict(job)`

    def __getitem__(self, key: str) -> Any:
        """A field by name, None if it is absent; or what else came with the record. KeyError for any other key."""
        if key in self.__struct_fields__:
            return getattr(self, key)
        return self._beside()[key]

    def get(self, key: str, default: Any = None) -> Any:
        """What stands at `key`, or `default` where that is absent or null."""
        try:
            found = self[key]
        except KeyError:
            return default
        return default if found is None else found

    def keys(self) -> list[str]:
        """The fields that are there, then what else came."""
        there = [name for name, value in self._known().items() if value is not None]
        return [*there, *(key for key in self._beside() if key not in self.__struct_fields__)]

    def items(self) -> list[tuple[str, Any]]:
        """Keys with their values."""
        return [(key, self[key]) for key in self.keys()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def _beside(self) -> dict[str, Any]:
        """All that came, fields too; nothing, if the bytes are no longer kept."""
        try:
            came = msgspec.json.decode(self.json)
        except LookupError:
            return {}
        return came if isinstance(came, dict) else {}


class _Linked(msgspec.Struct):
    _links: Any = None


class Page(list[T], Generic[T]):
    """The records of one answer. `json` is the array as it came."""

    __slots__ = ("__weakref__", "_came", "_places", "_raws", "json")

    def __init__(self, records: Any = (), json: bytes = b"[]") -> None:
        super().__init__(records)
        self._came = tuple(self)  # the list may be sorted or cut; the places of the bytes stay
        self.json = json
        self._places: dict[int, int] | None = None
        self._raws: list[msgspec.Raw] = []

    def keep(self) -> None:
        """Let the records keep their page, and so their bytes, for as long as any of them lives."""
        for record in self._came:
            if isinstance(record, Record):
                record.__dict__["_page"] = lambda: self

    def json_of(self, record: T) -> bytes:
        """The bytes of one record of this page."""
        if self._places is None:
            self._raws = msgspec.json.decode(self.json, type=list[msgspec.Raw])
            self._places = {id(kept): place for place, kept in enumerate(self._came)}
        return bytes(self._raws[self._places[id(record)]])


@overload
def decode(body: bytes, kind: type[T]) -> T: ...
@overload
def decode(body: bytes, kind: Any) -> Any: ...
def decode(body: bytes, kind: Any) -> Any:
    """One record of type `kind` (a Record, or any type msgspec knows). Malformed JSON raises msgspec.DecodeError."""
    try:
        record = _decoder(kind).decode(body)
    except msgspec.ValidationError:
        if not _is_record(kind):
            raise
        record = _field_by_field(body, kind)
    if _is_record(kind) and isinstance(record, Record):
        record.__dict__["_json"] = body
    return record


def decode_page(body: bytes, kind: type[T]) -> Page[T]:
    """A page of records of type `kind`. Malformed JSON raises msgspec.DecodeError, as does anything but an array."""
    try:
        records = _decoder(list[kind]).decode(body)  # type: ignore[valid-type]  # a type that is known at run time only
    except msgspec.ValidationError:
        records = [_forgiving(bytes(raw), kind) for raw in _decoder(list[msgspec.Raw]).decode(body)]
    page: Page[T] = Page(records, body)
    if _is_record(kind):
        kept = weakref.ref(page)
        for record in page:
            record.__dict__["_page"] = kept
    return page


def _forgiving(raw: bytes, kind: type[T]) -> T:
    """One record of a page that did not fit. What is no object at all is a record without a field that fits.

    A kind that is no Record makes its own by `unfit`, if it has that.
    """
    try:
        return decode(raw, kind)
    except msgspec.ValidationError as misfit:
        if (unfit := getattr(kind, "unfit", None)) is not None:
            made: T = unfit(raw)
            return made
        if not (isinstance(kind, type) and issubclass(kind, Record)):
            raise
        return _unfit(kind, {}, {field.name: str(misfit) for field in msgspec.structs.fields(kind)})


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _field_by_field(body: bytes, kind: type[Record]) -> Record:
    """A record with all fields that fit; the others are unset, and raise when read."""
    raws = _decoder(dict[str, msgspec.Raw]).decode(body)
    fits: dict[str, Any] = {}
    misfits: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        raw = raws.get(field.encode_name)
        if raw is None:
            if field.required:
                misfits[field.name] = "missing"
            continue
        try:
            fits[field.name] = decode(bytes(raw), field.type)
        except msgspec.ValidationError as misfit:
            misfits[field.name] = str(misfit)
    return _unfit(kind, fits, misfits)


R = TypeVar("R", bound=Record)


def _unfit(kind: type[R], fits: dict[str, Any], misfits: dict[str, str]) -> R:
    """A record with the fields that fit; a misfit is unset, and says why when it is read."""
    record = kind(**fits, **dict.fromkeys(misfits))
    for name in misfits:
        delattr(record, name)
    record.__dict__["_misfits"] = misfits
    return record
