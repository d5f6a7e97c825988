"""Which addresses a collector may have, and that no project's data crosses a border."""

from __future__ import annotations

import pytest

from app.errors import Conflict, InvalidInput
from app.upstream.destination import Destination, destination, refuse_crossing


@pytest.mark.parametrize(
    ("url", "region", "base", "where"),
    [
        ("https://api.mixpanel.com", None, "https://api.mixpanel.com", "us"),
        ("https://API-EU.mixpanel.com/", None, "https://api-eu.mixpanel.com", "eu"),
        ("https://api-in.mixpanel.com", "IN", "https://api-in.mixpanel.com", "in"),
        ("https://collect.example:8443", "eu", "https://collect.example:8443", "eu"),
        ("http://127.0.0.1:9000", "eu", "http://127.0.0.1:9000", "eu"),
        ("http://[::1]:9000", "eu", "http://[::1]:9000", "eu"),
    ],
)
def test_an_address_and_where_it_is(url, region, base, where):
    assert destination(url, region) == Destination(base, where)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.mixpanel.com",
        "https://user@api.mixpanel.com",
        "https://api.mixpanel.com/track",
        "https://api.mixpanel.com?x=1",
        "ftp://api.mixpanel.com",
        "https://",
        "https://host:port",
        "api.mixpanel.com",
    ],
)
def test_anything_else_is_refused_by_name(url):
    with pytest.raises(InvalidInput) as refused:
        destination(url, "us")
    assert refused.value.field == "url"
    assert "user@" not in str(refused.value)


def test_the_region_of_a_strange_host_must_be_said_and_of_a_known_one_be_true():
    for url, region in (("https://collect.example", None), ("https://api-eu.mixpanel.com", "us")):
        with pytest.raises(InvalidInput) as refused:
            destination(url, region)
        assert refused.value.field == "region"


def test_no_project_leaves_its_region():
    refuse_crossing("default", Destination("https://a", "us"))
    refuse_crossing("EU", Destination("https://a", "eu"))
    with pytest.raises(Conflict):
        refuse_crossing("eu", Destination("https://a", "us"))
