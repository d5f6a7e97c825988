"""Sealing, the master key's refusals, and what project keys are for."""

import base64
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import Integrity, StartupRefused
from app.keys.master import MasterKey, decode_key, generate_key
from app.keys.sealing import seal, unseal
from app.keys.service import ProjectKeys
from policies.pseudonym import PseudonymKey


def project_keys(project_id: int, secret: int) -> ProjectKeys:
    def part(n: int) -> bytes:
        return bytes([(secret + n) % 256, *range(31)])

    return ProjectKeys(
        project_id,
        lookup=part(1),
        pseudonym=PseudonymKey(1, part(2)),
        dedup=part(3),
        subject=AESGCM(part(4)),
        archive=AESGCM(part(5)),
        signing=Ed25519PrivateKey.from_private_bytes(part(6)),
    )


def test_what_is_sealed_opens_only_under_its_key_and_label():
    key = AESGCM(os.urandom(32))
    sealed = seal(key, b"ada", "id|1")
    assert unseal(key, sealed, "id|1") == b"ada"
    for other_key, other_bytes, other_label in (
        (AESGCM(os.urandom(32)), sealed, "id|1"),
        (key, sealed, "id|2"),
        (key, sealed[:-1], "id|1"),
        (key, b"\x02" + sealed[1:], "id|1"),
        (key, b"", "id|1"),
    ):
        with pytest.raises(Integrity):
            unseal(other_key, other_bytes, other_label)


def test_sealing_twice_gives_other_bytes():
    key = AESGCM(os.urandom(32))
    assert seal(key, b"ada", "x") != seal(key, b"ada", "x")


def test_a_generated_master_key_is_accepted_and_wraps():
    master = MasterKey(decode_key(generate_key(), "PORTCULLIS_MASTER_KEY"))
    assert master.unwrap(master.wrap(b"k" * 32, "label"), "label") == b"k" * 32


@pytest.mark.parametrize("key", [bytes(32), b"a" * 32, bytes(range(32)), b"0123456789abcdef0123456789abcdef"])
def test_example_and_weak_master_keys_are_refused_with_the_remedy(key):
    with pytest.raises(StartupRefused) as refused:
        MasterKey(key)
    assert "portcullis keys generate" in str(refused.value)


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_malformed_master_key_is_refused_and_not_echoed(text):
    with pytest.raises(StartupRefused) as refused:
        decode_key(text, "PORTCULLIS_MASTER_KEY")
    assert "PORTCULLIS_MASTER_KEY" in str(refused.value)
    assert not text or text not in str(refused.value)


def test_the_same_id_has_other_digests_in_other_projects():
    one, other = project_keys(1, 10), project_keys(2, 20)
    assert one.lookup_of("ada") == one.lookup_of("ada")
    assert one.lookup_of("ada") != other.lookup_of("ada")
    assert len(one.lookup_of("ada")) == 16


def test_unicode_forms_of_one_id_are_one_id():
    keys = project_keys(1, 10)
    assert keys.lookup_of("caf\u00e9") == keys.lookup_of("cafe\u0301")
    assert keys.lookup_of("Ada") != keys.lookup_of("ada")


def test_a_re_sent_event_has_the_same_digest_and_one_without_insert_id_never():
    keys = project_keys(1, 10)
    assert keys.dedup_of("View", 1, 2, "i") == keys.dedup_of("View", 1, 2, "i")
    assert keys.dedup_of("View", 1, 2, "i") != keys.dedup_of("View", 1, 3, "i")
    assert keys.dedup_of("View", 1, 2, None) != keys.dedup_of("View", 1, 2, None)
    assert 0 <= keys.dedup_of("View", 1, 2, "i") < 2**63


def test_a_subject_key_opens_only_for_its_uid():
    keys = project_keys(1, 10)
    _, wrapped = keys.new_subject_key(5)
    keys.subject_key(5, wrapped)
    with pytest.raises(Integrity):
        keys.subject_key(6, wrapped)


def test_keys_stay_out_of_the_representation():
    keys = project_keys(1, 10)
    assert repr(keys.lookup) not in repr(keys)
    assert "Ed25519" not in repr(keys)


def test_a_bridge_ends_by_the_clock_and_is_never_open_for_who_stores_elsewhere():
    older, oldest = PseudonymKey(2, bytes(range(32))), PseudonymKey(1, bytes(range(1, 33)))
    keys = replace(project_keys(1, 10), bridges=((older, 1_000),), retired=(oldest,))
    within, after = keys.check_context(999), keys.check_context(1_000)
    assert (within.bridge, within.older) == ((older,), (oldest,))
    assert (after.bridge, set(after.older)) == ((), {older, oldest})
    elsewhere = keys.check_context(999, identifiers="exposed")
    assert (elsewhere.bridge, set(elsewhere.older), elsewhere.identifiers) == ((), {older, oldest}, "exposed")


def test_older_pseudonyms_exist_only_after_a_rotation():
    keys = project_keys(1, 10)
    assert not keys.has_older_pseudonyms
    assert replace(keys, retired=(PseudonymKey(1, bytes(range(32))),)).has_older_pseudonyms
