"""The platform's client on trio and httpx: `Agave`, its errors, accounts, and Storage over the file services."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agavesh.client.client import Agave as Agave

__all__ = ["Agave"]


def __getattr__(name: str) -> Any:
    # loaded when asked for: a command that needs only a path or an error must not pay for httpx
    if name == "Agave":
        from agavesh.client.client import Agave

        return Agave
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
