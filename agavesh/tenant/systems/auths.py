"""What a credential must look like, by the protocol that it is for. Pure: a request in, the whole credential out, or a
Refusal that names the field and never a value."""

from __future__ import annotations

from typing import Any

from agavesh.tenant.context import Record
from agavesh.tenant.refusal import Refusal

STORAGE = {
    "GRIDFTP": ("X509",), "FTP": ("PASSWORD", "ANONYMOUS"), "SFTP": ("PASSWORD", "SSHKEYS"),
    "IRODS": ("PASSWORD", "PAM", "X509"), "IRODS4": ("PASSWORD", "PAM", "X509"), "LOCAL": ("LOCAL",),
    "AZURE": ("APIKEYS",), "S3": ("APIKEYS",), "SWIFT": ("APIKEYS", "PASSWORD"), "HTTP": ("PASSWORD", "ANONYMOUS"),
    "HTTPS": ("PASSWORD", "ANONYMOUS"),
}  # fmt: skip
LOGIN = {
    "SSH": ("PASSWORD", "SSHKEYS"), "GSISSH": ("X509",), "LOCAL": ("LOCAL",), "API": ("PASSWORD", "TOKEN"),
}  # fmt: skip
SERVERS = ("NONE", "MYPROXY", "MPG", "OA4MP", "VOMS", "OAUTH2", "OAUTH", "KERBEROSE")

# characters; what is not here is not kept
_LONGEST = {
    "username": 32, "password": 2048, "publicKey": 8192, "privateKey": 16384, "credential": 8192, "caCerts": 65536,
}  # fmt: skip
# without any of these a credential of the type opens nothing; the platform's documents say no more than the type
_NEEDED = {
    "PASSWORD": ("password",), "PAM": ("password",), "SSHKEYS": ("privateKey",), "APIKEYS": ("publicKey", "privateKey"),
    "X509": ("credential", "server"), "TOKEN": ("credential", "password"),
}  # fmt: skip
_ALL_OF = frozenset({"APIKEYS"})


def checked(body: Any, types: tuple[str, ...], place: str, *, kept: Record | None = None) -> Record | None:
    """The credential that a request gives, of one of `types`. None where it says no more than `kept`, what is told of
    the credential there is: then that one stays."""
    if not isinstance(body, dict):
        raise Refusal(400, f"No {place} attribute found. Please provide a JSON object for {place}")
    kind = body.get("type")
    if not isinstance(kind, str) or kind.upper() not in types:
        raise Refusal(400, f"Invalid {place}.type value. Valid values are: {', '.join(types)}")
    found: Record = {"type": kind.upper()}
    for name, longest in _LONGEST.items():
        value = body.get(name)
        if value in (None, ""):
            continue
        if not isinstance(value, str) or len(value) > longest:
            raise Refusal(400, f"Invalid {place}.{name} value. It is a text of at most {longest} characters")
        found[name] = value
    if body.get("server") is not None:
        found["server"] = _server(body["server"], f"{place}.server")
    if found == kept:
        return None
    needed = _NEEDED.get(found["type"], ())
    lacking = [name for name in needed if name not in found]
    if lacking and (len(lacking) == len(needed) or found["type"] in _ALL_OF):
        raise Refusal(
            400, f"Invalid {place}.{lacking[0]} value. A credential of type {found['type']} has"
            f" {(' and ' if found['type'] in _ALL_OF else ' or ').join(needed)}",
        )  # fmt: skip
    return found


def shown(auth: Record) -> Record:
    """What may be told of a credential: all else is secret."""
    return {name: auth[name] for name in ("type", "server", "caCerts") if name in auth}


def _server(body: Any, place: str) -> Record:
    """Where a credential is had from. Only what is known of: what else a request brings might be secret."""
    if not isinstance(body, dict):
        raise Refusal(400, f"Invalid {place} value. It is an object with name, endpoint, port and protocol")
    name, endpoint, protocol = body.get("name"), body.get("endpoint"), body.get("protocol")
    if name is not None and (not isinstance(name, str) or len(name) > 64):
        raise Refusal(400, f"Invalid {place}.name value. It is a text of at most 64 characters")
    if not isinstance(endpoint, str) or not endpoint.strip() or len(endpoint) > 255:
        raise Refusal(400, f"Invalid {place}.endpoint value. It is a text of at most 255 characters")
    if not isinstance(protocol, str) or protocol.upper() not in SERVERS:
        raise Refusal(400, f"Invalid {place}.protocol value. Valid values are: {', '.join(SERVERS)}")
    return {
        "name": name, "endpoint": endpoint.strip(), "port": port(body, place), "protocol": protocol.upper(),
    }  # fmt: skip


def port(body: Record, place: str) -> int:
    """A port's number, which some write as a text."""
    found = body.get("port")
    if isinstance(found, str) and found.isascii() and found.isdigit():
        found = int(found[:6])
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 65536:
        raise Refusal(400, f"Invalid {place}.port value. Please give the port as a number")
    return found
