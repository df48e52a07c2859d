"""The platform's client on trio, httpx and h11: `Agave`, its errors, accounts, and Storage over the file services.

`connect` is its form for plain scripts and notebooks: nothing is awaited.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agavesh.client.blocking import connect as connect
    from agavesh.client.client import Agave as Agave

__all__ = ["Agave", "connect"]


def __getattr__(name: str) -> Any:
    # loaded when asked for: a command that needs only a path or an error must not pay for httpx
    if name == "Agave":
        from agavesh.client.client import Agave

        return Agave
    if name == "connect":
        from agavesh.client.blocking import connect

        return connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
