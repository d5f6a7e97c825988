"""A certificate of this machine's own, so that clients which speak only https can be tried (`portcullis run --tls`).

One self-signed certificate for one server, and no authority: whoever trusts it trusts this server and nothing else that
its key could sign. Production has a certificate of its own or a proxy in front.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=397)  # The longest that browsers accept (CA/Browser Forum, 6.3.2).
_RENEW_BEFORE = timedelta(days=30)
_ALWAYS = ("localhost", "127.0.0.1", "::1")


def ensure(folder: Path, host: str) -> tuple[Path, Path]:
    """Certificate and key (PEM files) for `host` in `folder`, made where there are none that fit and last a month."""
    certificate, key = folder / "tls-certificate.pem", folder / "tls-key.pem"
    names = list(dict.fromkeys((*_ALWAYS, host)))
    if not _usable(certificate, key, names):
        _make(certificate, key, names)
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate as browsers and `openssl x509 -fingerprint` show it: pairs of hex digits with colons."""
    digest = x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def _usable(certificate: Path, key: Path, names: list[str]) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        held = load_pem_private_key(key.read_bytes(), None)
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    lasts = found.not_valid_after_utc > datetime.now(UTC) + _RENEW_BEFORE
    return lasts and held.public_key() == found.public_key() and set(map(_named, names)) <= set(said)


def _make(certificate: Path, key: Path, names: list[str]) -> None:
    secret, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Portcullis on this machine")])
    own = x509.SubjectKeyIdentifier.from_public_key(secret.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_named(each) for each in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
    )
    signed = builder.sign(secret, hashes.SHA256())
    _write(key, secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(certificate, signed.public_bytes(Encoding.PEM))


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, text: bytes) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    unfinished.replace(path)
