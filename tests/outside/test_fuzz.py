"""No request, however odd, has an answer that the OpenAPI document does not tell of, and none makes a service fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import SAID
from .fuzz import Finding, Fuzz
from .processes import served

Say = Callable[[str, object], None]


@pytest.fixture
def fuzz(tmp_path: Path) -> Iterator[Fuzz]:
    with served(tmp_path / "tenant") as tenant:
        yield Fuzz(tenant)
    log = (tmp_path / "tenant.log").read_text()
    assert "Traceback" not in log, log[-5000:]


def told(findings: list[Finding]) -> str:
    return "\n\n".join(f"{one.operation} {one.status}: {one.what}\n{one.request}" for one in findings[:20])


def test_every_route_answers_as_the_document_says(fuzz: Fuzz, record_property: Say) -> None:
    for operation in fuzz.operations():
        fuzz.run(operation, examples=2, fixed=True)
    assert not fuzz.findings, told(fuzz.findings)
    assert fuzz.binary
    assert fuzz.still_signed_in()
    record_property(SAID, f"fuzz: {sum(fuzz.statuses.values())} requests, {dict(sorted(fuzz.statuses.items()))}")


@pytest.mark.soak
def test_every_route_answers_so_for_long(fuzz: Fuzz, record_property: Say) -> None:
    for _ in range(10):
        for operation in fuzz.operations():
            fuzz.run(operation, examples=20, fixed=False)
    assert not fuzz.findings, told(fuzz.findings)
    assert fuzz.binary
    assert fuzz.still_signed_in()
    record_property(SAID, f"fuzz: {sum(fuzz.statuses.values())} requests, {dict(sorted(fuzz.statuses.items()))}")
