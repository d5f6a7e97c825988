"""Spellings of one id, and groups, which are no people."""

import pytest

from app.identity.forms import form_of
from app.identity.groups import Group, group_identifier, named_group


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.com"),
        (" ada@example.com ", "ADA@EXAMPLE.COM"),
        ("\uff41da@example.com", "ada@example.com"),
        ("+49 30 1234567", "+49301234567"),
        ("caf\u00e9", "cafe\u0301"),
        ("\ufb01ona", "fiona"),
        ("$device:\ufb01", "$device:fi"),
    ],
)
def test_spellings_of_one_id_have_one_form(one, other):
    assert form_of(one) == form_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("aB3xQ", "ab3xq"), ("$device:AB", "$device:ab"), ("$device:x", "x"), ("0301234567", "301234567"), ("ada", "Ada")],
)
def test_what_tells_people_apart_stays(one, other):
    assert form_of(one) != form_of(other)


def test_a_group_is_in_a_space_that_no_person_can_reach():
    acme = group_identifier("company", "acme")
    assert named_group(acme) == Group("company", "acme")
    assert named_group("acme") is None
    assert form_of(acme) != form_of("acme")
    assert named_group(group_identifier("a:b%3A", "c:d")) == Group("a:b%3A", "c:d")
    assert "acme" not in repr(named_group(acme))


def test_a_group_whose_id_is_an_address_has_the_form_of_the_address():
    assert form_of(group_identifier("owner", "Ada@Example.com")) == form_of("ada@example.com")
