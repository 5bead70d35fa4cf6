"""What is offered of permessage-deflate, and what may be answered (RFC 7692)."""

import time

import pytest

from wsauth.core.extensions import NONE, Deflate, Offers, read_offers


def offered(*values: str) -> Offers:
    """Read these lines of Sec-WebSocket-Extensions."""
    return read_offers([(b"host", b"a"), *((b"sec-websocket-extensions", value.encode()) for value in values)])


@pytest.mark.parametrize(
    ("value", "passed"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"),
        ("permessage-deflate;client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
        ('permessage-deflate ; server_max_window_bits="15"', "permessage-deflate; server_max_window_bits=15"),
        (
            "permessage-deflate;client_no_context_takeover;\tserver_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        ("x-other; a=1, permessage-deflate", "permessage-deflate"),
        ('x-other; a="1", permessage-deflate', "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ),
        (", permessage-deflate,", "permessage-deflate"),
    ],
)
def test_a_good_offer_is_passed_on_in_one_spelling(value: str, passed: str) -> None:
    """Other extensions are left out; white space between the parts and quotes do not matter."""
    assert offered(value).header == passed.encode()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "PerMessage-Deflate",
        "permessage-deflate; Client_Max_Window_Bits",
        "permessage-deflate; client_max_window_bits = 10",
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=+8",
        "permessage-deflate; server_max_window_bits=\xb2",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; x=1",
        "permessage-deflate;",
        "permessage-deflate=1",
        "permessage-deflate client_max_window_bits",
        'permessage-deflate; server_max_window_bits="15',
        'permessage-deflate; server_max_window_bits="1\\5"',
        'x; a="b, permessage-deflate, c"',
    ],
)
def test_a_hostile_offer_is_declined(value: str) -> None:
    """Values out of range, parameters that are unknown or there twice, and open quotes (HS-34, HS-35)."""
    assert offered(value) == NONE == Offers((), b"")


def test_a_bad_offer_takes_no_good_one_with_it() -> None:
    """Offers are alternatives, also over several lines."""
    found = offered("permessage-deflate; server_max_window_bits=99", "permessage-deflate; server_max_window_bits=9")
    assert found.deflates == (Deflate(server_max_window_bits=9),)


def test_at_most_four_offers_pass_and_a_thousand_are_none() -> None:
    """Nobody needs more (HS-35)."""
    assert len(offered(", ".join(["permessage-deflate"] * 16)).deflates) == 4
    assert offered(", ".join(["permessage-deflate"] * 17)) == NONE
    assert offered(*["permessage-deflate"] * 1_000) == NONE


@pytest.mark.parametrize(
    "value",
    [
        'a;b="' + "\\c" * 8_000,
        '="' * 8_000,
        ";" * 16_000,
        "permessage-deflate" + "; x" * 5_000,
        "permessage-deflate" + " " * 16_000 + "x",
        'a="' + "b" * 16_000,
        "," * 16_000,
    ],
    ids=range(7),
)
def test_no_offer_costs_time(value: str) -> None:
    """One pass over the line, whatever is in it (HS-34)."""
    began = time.perf_counter()
    assert offered(value) == NONE
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize(
    ("offer", "answer", "passed"),
    [
        ("permessage-deflate", "permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate",
            "permessage-deflate;server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=12",
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=15",
            "permessage-deflate; client_max_window_bits=15",
        ),
        ("permessage-deflate; client_max_window_bits=10", "permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; server_no_context_takeover, permessage-deflate",
            "permessage-deflate",
            "permessage-deflate",
        ),
    ],
)
def test_an_answer_that_fits_an_offer_goes_to_the_client(offer: str, answer: str, passed: str) -> None:
    """A server may forget more and take smaller windows than it was asked for (RFC 7692 sections 7.1.1, 7.1.2)."""
    assert offered(offer).accept(answer) == passed


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("x-other", "permessage-deflate"),
        ("permessage-deflate", "x-other"),
        ("permessage-deflate", ""),
        ("permessage-deflate", "permessage-deflate, permessage-deflate"),
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=16"),
        ("permessage-deflate", "permessage-deflate; x"),
        ("permessage-deflate", "permessage-deflate; client_max_window_bits=15"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"),
        ("permessage-deflate", "permessage-deflate; client_max_window_bits=8"),
        ("permessage-deflate; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=9", "permessage-deflate"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate"),
    ],
)
def test_an_answer_that_fits_no_offer_is_refused(offer: str, answer: str) -> None:
    """The client could not read what it did not offer to read (GW-13)."""
    with pytest.raises(ValueError, match="not offered"):
        offered(offer).accept(answer)
