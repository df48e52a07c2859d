"""JSON Schema: whether a schema is one, and whether a value follows it. The gate to the jsonschema library.

The draft is the one that `$schema` names; without it draft 4, which is the platform's. References lead within the
schema or to other schemas of this tenant, never to the network. Schemas come from outside, and one can ask for endless
work: every keyword looks at the clock, expressions are searched as in `patterns`, and what the library does in a time
that grows with the square of a value's size is done otherwise. Call it in a thread.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, cast

from agavesh.tenant.patterns import BadPattern, Pattern, TooSlow, timely, within

LONGEST = 10.0  # seconds for one value, or one schema
MOST_UNEVALUATED = 2000  # items or properties that `unevaluated…` looks at: it compares each with each
SHOWN = 200  # characters of the library's message; it repeats the value
_DRAFT_4 = "http://json-schema.org/draft-04/schema#"


class NoSchema(ValueError):
    """This is no JSON Schema that can be followed: the text says why."""


class Unlike(ValueError):
    """A value that does not follow its schema: the text says where, and why."""


def check_schema(schema: Any) -> None:
    """Raises NoSchema, TooSlow."""
    from jsonschema.exceptions import best_match

    with _bounded():
        validator = _validator(schema)
        problem = best_match(_meta(validator).iter_errors(schema))
        if problem is not None:
            raise NoSchema(_said(problem, "schema"))
        _check_patterns(schema)


def check(value: Any, schema: Any, others: Mapping[str, Any]) -> None:
    """Whether a value follows a schema; `others` are those it may refer to, by URL.

    Raises Unlike, NoSchema, TooSlow.
    """
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    def retrieve(url: str) -> Any:
        if url not in others:
            raise KeyError(url)
        return specification_with(_draft(others[url])).create_resource(others[url])

    registry: Any = Registry

    with _bounded():
        _check_patterns([schema, *others.values()])  # each alone may be fit, and together they are not
        try:
            problem = best_match(_validator(schema)(schema, registry=registry(retrieve=retrieve)).iter_errors(value))
        except Unresolvable as missing:
            raise NoSchema(f"the schema refers to {missing.ref}, which is not there") from None
    if problem is not None:
        raise Unlike(_said(problem, "value"))


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """For so long, and not deeper than Python can go."""
    try:
        with within(LONGEST):
            yield
    except RecursionError:
        raise NoSchema("the schema refers to itself without end") from None
    except BadPattern as problem:
        raise NoSchema(f"a regular expression in the schema is invalid: {problem}") from None


def _said(problem: Any, name: str) -> str:
    """The library's message, and the place in the value."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.absolute_path)
    message = problem.message
    if len(message) > SHOWN:
        message = f"{message[: SHOWN // 2]} ... {message[-SHOWN // 2 :]}"
    return f"{name}{place}: {message}"


def _draft(schema: Any) -> str:
    named = schema.get("$schema") if isinstance(schema, dict) else None
    return named if isinstance(named, str) else _DRAFT_4


@functools.cache
def _drafts() -> dict[str, Any]:
    """The library's validators with our keywords, by the URL of their draft."""
    from jsonschema import validators

    found = {}
    for each in (
        validators.Draft3Validator, validators.Draft4Validator, validators.Draft6Validator,
        validators.Draft7Validator, validators.Draft201909Validator, validators.Draft202012Validator,
    ):  # fmt: skip
        own: dict[str, Any] = {name: _OWN.get(name, keyword) for name, keyword in each.VALIDATORS.items()}
        own |= {name: _of_few(own[name]) for name in ("unevaluatedItems", "unevaluatedProperties") if name in own}
        bounded = {name: _clocked(keyword) for name, keyword in own.items()}
        url = each.META_SCHEMA.get("$id") or each.META_SCHEMA["id"]
        extend: Any = validators.extend
        found[url.rstrip("#")] = extend(each, bounded)
    return found


def _validator(schema: Any) -> Any:
    draft = _draft(schema)
    try:
        return _drafts()[draft.rstrip("#").replace("https://json-schema.org/draft-0", "http://json-schema.org/draft-0")]
    except KeyError:
        raise NoSchema(f"its $schema, {draft[:SHOWN]}, is not known; {', '.join(_drafts())} are") from None


def _meta(validator: Any) -> Any:
    return validator(validator.META_SCHEMA)


def _clocked(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def clocked(validator: Any, asked: Any, value: Any, schema: Any) -> Iterator[Any]:
        timely("following the schema")
        yield from keyword(validator, asked, value, schema) or ()

    return clocked


# keywords with expressions -------------------------------------------------------------------------------------------


@functools.lru_cache(256)
def _pattern(text: str) -> Pattern:
    return Pattern(text)


def _follows(validator: Any, asked: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if validator.is_type(value, "string") and not _pattern(asked).search(value):
        yield ValidationError(f"{value!r} does not match {asked!r}")


def _properties_that_match(validator: Any, asked: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    if validator.is_type(value, "object"):
        for text, inner in asked.items():
            for name, each in value.items():
                if _pattern(text).search(name):
                    yield from validator.descend(each, inner, path=name, schema_path=text)


def _no_others(validator: Any, asked: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(value, "object"):
        return
    known, patterns = schema.get("properties", {}), [_pattern(text) for text in schema.get("patternProperties", {})]
    others = [name for name in value if name not in known and not any(each.search(name) for each in patterns)]
    if isinstance(asked, dict):
        for name in others:
            yield from validator.descend(value[name], asked, path=name)
    elif not asked and others:
        names = ", ".join(map(repr, sorted(others)))
        yield ValidationError(f"Additional properties are not allowed ({names} unexpected)")


# keywords that compare each with each --------------------------------------------------------------------------------


def _all_different(validator: Any, asked: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if asked and validator.is_type(value, "array") and len(set(map(_key, value))) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _key(value: Any) -> Hashable:
    """Equal for values that JSON Schema takes for equal: 1 is 1.0, and not true."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, dict):
        return dict, frozenset((name, _key(each)) for name, each in value.items())
    if isinstance(value, list):
        return list, tuple(map(_key, value))
    return cast(Hashable, value)


def _of_few(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def of_few(validator: Any, asked: Any, value: Any, schema: Any) -> Any:
        if isinstance(value, dict | list) and len(value) > MOST_UNEVALUATED:
            raise TooSlow(f"looking for what was not evaluated among {len(value)} takes too long")
        return keyword(validator, asked, value, schema)

    return of_few


_OWN = {
    "pattern": _follows, "patternProperties": _properties_that_match, "additionalProperties": _no_others,
    "uniqueItems": _all_different,
}  # fmt: skip


def _check_patterns(schema: Any) -> None:
    """The expressions of schemas that are followed together must be some; beside `unevaluatedProperties`, which the
    library looks after itself and with an engine that cannot be stopped, there may be none."""
    level, patterns, unevaluated = [schema], False, False
    while level:
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if isinstance(each.get("pattern"), str):
                    _pattern(each["pattern"])
                if isinstance(each.get("patternProperties"), dict):
                    patterns = patterns or bool(each["patternProperties"])
                    for text in each["patternProperties"]:
                        _pattern(text)
                unevaluated = unevaluated or "unevaluatedProperties" in each
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        level = inner
    if patterns and unevaluated:
        raise NoSchema("patternProperties and unevaluatedProperties in one schema cannot be followed here")
