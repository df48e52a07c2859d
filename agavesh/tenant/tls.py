"""A certificate authority of the tenant's own, and its certificate for this machine's loopback names.

Made when first needed and kept under the tenant's folder: `ca.pem` is what a client trusts, `server.pem` and `key.pem`
what the server shows. The authority's own key is never written, so nobody can have it sign another name.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agavesh.tenant.state import write_private

LIFETIME = timedelta(days=825)  # some clients refuse what is good for longer
MARGIN = timedelta(days=7)  # so long before its end a certificate is made anew


@dataclass(frozen=True)
class Certificate:
    """Where the parts lie."""

    ca: Path
    chain: Path
    key: Path


def certificate(folder: Path, host: str = "127.0.0.1") -> Certificate:
    """The certificate in `folder` for localhost, the loopback addresses and `host`; made if there is no good one."""
    found = Certificate(folder / "ca.pem", folder / "server.pem", folder / "key.pem")
    if not _good(found, host):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(found, host)
    return found


def context(shown: Certificate) -> ssl.SSLContext:
    """What a server shows it by. Only HTTP/1.1 is spoken behind it."""
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.set_ciphers("ECDHE+AESGCM")
    found.options |= ssl.OP_NO_COMPRESSION
    found.set_alpn_protocols(["http/1.1"])
    found.load_cert_chain(shown.chain, shown.key)
    return found


def _good(found: Certificate, host: str) -> bool:
    """Whether all three files are there, belong together, are for `host` and good for some time."""
    try:
        ca, server = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (found.ca, found.chain))
        server.verify_directly_issued_by(ca)
        key = serialization.load_pem_private_key(found.key.read_bytes(), None)
    except (FileNotFoundError, ValueError, InvalidSignature):  # not made yet, cut short by a crash, or half renewed
        return False
    if key.public_key() != server.public_key():
        return False
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return server.not_valid_after_utc - datetime.now(UTC) > MARGIN and _name(host) in names


def _make(found: Certificate, host: str) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agavesh embedded tenant")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        _unsigned(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(ca_identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = dict.fromkeys(_name(each) for each in ("localhost", "127.0.0.1", "::1", host))
    server = (
        _unsigned(name, ca_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(
        found.key,
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(found.ca, ca.public_bytes(pem))
    write_private(found.chain, server.public_bytes(pem) + ca.public_bytes(pem))


def _unsigned(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a clock may be behind
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
