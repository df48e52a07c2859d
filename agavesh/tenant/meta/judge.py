"""Whether a document is what a query asks for: montydb's engine, behind one class.

montydb walks documents and compares values as MongoDB does, arrays and kinds of values included. It is the gate to that
library: what of its engine is not as MongoDB answers is mended here, and nothing else imports it. Slow in comparison to
SQLite (tens of microseconds a document), so that `narrow` leaves it few documents to judge. One large document can be
work without end for one query, so every condition looks at the clock.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from agavesh.tenant.meta.query import Spec
from agavesh.tenant.patterns import Pattern, timely

Document = dict[str, Any]
Condition = Callable[[Any], Any]  # of montydb's walker, which stands at a field


class Judge:
    """A query, ready to be asked about one document after the other. What takes longer than `within` is TooSlow."""

    def __init__(self, spec: Spec) -> None:
        self._filter = _engine()(spec)

    def __call__(self, document: Document) -> bool:
        return bool(self._filter(document))


@functools.cache
def _engine() -> Any:
    """The engine with our operators, imported when first needed: it takes a while."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks for a date in an old way when imported
        from montydb.engine import queries

        queries.QueryFilter({"a": {"$eq": 1}})({})  # what it imports when first used

    class Filter(queries.QueryFilter):  # type: ignore[misc]  # montydb has no types
        def parser(self, spec: Spec) -> Any:
            self.field_ops |= {
                "$in": _any_equal, "$nin": _none_equal, "$all": self._all, "$matches": _matches, "$mod": _mod,
                "$type": lambda numbers: queries.parse_type(list(numbers)), "$elemMatch": self._element,
            }  # fmt: skip
            return super().parser(spec)

        def subparser(self, path: str, sub_spec: Spec) -> Any:
            box = queries.LogicBox(path)
            for name, value in sub_spec.items():
                box.append(self._condition(name, value))
            return box

        def _condition(self, operator: str, asked: Any) -> Condition:
            return _clocked(self.field_ops[operator](asked))

        def _parse_not(self, sub_spec: Spec) -> Any:
            return self.subparser("$not", sub_spec)

        def _all(self, specs: list[Spec]) -> Condition:
            boxes = [[self._condition(*each) for each in spec.items()] for spec in specs]
            # of nothing at all no field holds all
            return lambda walker: bool(boxes) and all(holds(walker) for box in boxes for holds in box)

        def _element(self, spec: Spec) -> Condition:
            """One element that is all that is asked. montydb takes text apart into letters here."""
            if not spec or not next(iter(spec)).startswith("$") or "$and" in spec or "$or" in spec or "$nor" in spec:
                judge = Filter(spec)
                return lambda walker: any(
                    judge(each) for each in map(_object, walker.value.iter_elements()) if each is not None
                )
            # an array in the array is one value here, and is not looked into; a place in an array is just that
            plain, placed = Filter({"e": spec}), Filter({"e.0": spec})

            def holds(walker: Any) -> bool:
                return any(
                    placed({"e": [element]}) if isinstance(element, list) else plain({"e": element})
                    for element in walker.value.iter_elements()
                )

            return holds

    def _any_equal(values: list[Any]) -> Condition:
        equal = [_clocked(queries.parse_eq(value)) for value in values]
        return lambda walker: any(holds(walker) for holds in equal)

    def _none_equal(values: list[Any]) -> Condition:
        any_equal = _any_equal(values)
        return lambda walker: not any_equal(walker)

    return Filter


def _clocked(condition: Condition) -> Condition:
    def holds(walker: Any) -> Any:
        timely("the query")
        return condition(walker)

    return holds


def _object(element: Any) -> Document | None:
    """An element as $elemMatch looks for fields in it: an array has its places for names."""
    if isinstance(element, list):
        return {str(place): each for place, each in enumerate(element)}
    return element if isinstance(element, dict) else None


def _matches(patterns: list[Pattern]) -> Condition:
    return lambda walker: any(
        pattern.search(value) for value in walker.value if isinstance(value, str) for pattern in patterns
    )


def _mod(wanted: tuple[int, int]) -> Condition:
    divisor, remainder = wanted

    def holds(walker: Any) -> bool:
        return any(
            _remainder(int(value), divisor) == remainder
            for value in walker.value
            if isinstance(value, int | float) and not isinstance(value, bool)
        )

    return holds


def _remainder(value: int, divisor: int) -> int:
    """Of the sign of what is divided, as in C."""
    left = abs(value) % abs(divisor)
    return -left if value < 0 else left
