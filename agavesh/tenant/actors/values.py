"""Texts that fit into a variable. Values in, values out."""

from __future__ import annotations

from agavesh.tenant.refusal import Refusal

LONGEST = 131_000  # bytes of one variable; the kernel takes 131,072, its name included
LARGEST_ENVIRONMENT = 524_288  # bytes of all variables that somebody gives


def fitting(what: str, text: str) -> str:
    """A text that fits into a variable. Refusal 400."""
    if "\0" in text or len(text.encode(errors="surrogatepass")) > LONGEST:
        raise Refusal(400, f"{what} is handed over in a variable: it has {LONGEST} bytes at most, and no NUL")
    return text
