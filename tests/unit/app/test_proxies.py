"""Of a forwarded chain only what our own proxies wrote is believed."""

import pytest

from app.proxies import TrustedProxies, behind

ONE, NETS = TrustedProxies.parse("1"), TrustedProxies.parse("10.0.0.0/8, 192.0.2.1,fd00::/8")


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "sender"),
    [
        (ONE, "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (ONE, "10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (ONE, "10.0.0.1", "", "10.0.0.1"),
        (TrustedProxies.parse("2"), "10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (TrustedProxies.parse("2"), "10.0.0.1", "203.0.113.9", "10.0.0.1"),
        # The right-most address that is not ours, however many of ours stand after it.
        (NETS, "10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (NETS, "10.0.0.1", "6.6.6.6, 203.0.113.9, 10.9.9.9, 192.0.2.1", "203.0.113.9"),
        (NETS, "10.0.0.1", "6.6.6.6, 2001:db8::7, fd00::1", "2001:db8::7"),
        # Whoever connects from elsewhere is the sender, whatever they write.
        (NETS, "203.0.113.9", "6.6.6.6", "203.0.113.9"),
        (NETS, "203.0.113.9", "10.0.0.1", "203.0.113.9"),
        (NETS, "", "6.6.6.6", ""),
        # Forms in which proxies write addresses: ports, brackets, IPv4 in IPv6 dress.
        (NETS, "::ffff:10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        (NETS, "10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        # Nobody but ours: the one farthest away. And a proxy that did not know says so: then nobody knows.
        (NETS, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (NETS, "10.0.0.1", "", "10.0.0.1"),
        (NETS, "10.0.0.1", "203.0.113.9, unknown", ""),
        (NETS, "10.0.0.1", "203.0.113.9,,10.0.0.2", ""),
    ],
)
def test_the_sender_is_whom_the_outermost_trusted_proxy_saw(trusted, peer, header, sender):
    assert trusted.sender(peer, header) == sender


@pytest.mark.parametrize("text", ["17", "-1", "10.0.0.1/8", "10.0.0.0/8;fd00::/8", "10.0.0.0/8,", "proxy.example", "1.5"])
def test_what_is_neither_number_nor_networks_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        TrustedProxies.parse(text)


def test_nothing_said_is_nothing_trusted():
    assert not TrustedProxies.parse("0")
    assert NETS
    assert ONE


def test_the_application_sees_the_sender_and_scheme_and_host_as_they_arrived():
    seen = {}
    forged = {
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "evil.example",
        "HTTP_HOST": "gate",
        "wsgi.url_scheme": "http",
    }
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9", **forged}
    behind(lambda environ, _start: seen.update(environ) or [], NETS)(environ, lambda *_: None)
    assert seen == {**environ, "REMOTE_ADDR": "203.0.113.9"}
    assert environ["REMOTE_ADDR"] == "10.0.0.1"
