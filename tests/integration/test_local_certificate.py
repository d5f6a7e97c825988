"""The certificate of `portcullis run --tls`: kept, renewed, private, and good for this machine only."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from app import local_certificate
from app.errors import StartupRefused
from app.settings import Settings


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    certificate, key = local_certificate.ensure(tmp_path, "127.0.0.1")
    before = local_certificate.fingerprint(certificate)
    assert len(before.split(":")) == 32
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    local_certificate.ensure(tmp_path, "127.0.0.1")
    assert local_certificate.fingerprint(certificate) == before
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)


def test_it_can_sign_nothing_else(tmp_path: Path) -> None:
    certificate, _ = local_certificate.ensure(tmp_path, "gate.example")
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "gate.example"]


@pytest.mark.parametrize("harm", ["another host", "damaged", "another key"])
def test_it_is_made_anew_where_it_does_not_fit(tmp_path: Path, harm: str) -> None:
    certificate, key = local_certificate.ensure(tmp_path, "127.0.0.1")
    before = local_certificate.fingerprint(certificate)
    host = "gate.example" if harm == "another host" else "127.0.0.1"
    if harm == "damaged":
        certificate.write_text("no certificate")
    if harm == "another key":
        other = tmp_path / "other"
        other.mkdir()
        key.write_bytes(local_certificate.ensure(other, "127.0.0.1")[1].read_bytes())
    local_certificate.ensure(tmp_path, host)
    assert local_certificate.fingerprint(certificate) != before


def test_settings_name_the_half_that_is_missing(tmp_path: Path) -> None:
    certificate, key = local_certificate.ensure(tmp_path, "127.0.0.1")
    both = {"PORTCULLIS_TLS_CERTIFICATE": str(certificate), "PORTCULLIS_TLS_KEY": str(key), "PORT": "9000"}
    assert Settings.from_env(both).base_url == "https://127.0.0.1:9000"
    for name in ("PORTCULLIS_TLS_CERTIFICATE", "PORTCULLIS_TLS_KEY"):
        for broken in ({**both, name: ""}, {**both, name: str(tmp_path / "absent")}):
            with pytest.raises(StartupRefused) as refused:
                Settings.from_env(broken)
            assert refused.value.field == name
