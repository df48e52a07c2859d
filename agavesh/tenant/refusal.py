"""The answer is no: how anything in the tenant refuses. Pure; it knows no request and no records."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """An HTTP status and a sentence, which becomes the error envelope."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}
