"""What Prometheus reads of a real server, by Prometheus's own parsers."""

from pathlib import Path

import httpx2
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.administering import Office, closed, office, opened
from tests.wsauth_sockets import called, eventually, refusal
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.refusals import TABLE

PASSWORD = "four white rabbits and a watch"
Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def numbers(office: Office, key: str) -> Numbers:
    """Return every sample, by its name and its labels in order."""
    reply = await office.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(reply.text))
    assert all(family.documentation for family in families)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def of(found: Numbers, name: str, **labels: str) -> float:
    """Return one number; 0 where it was never counted."""
    return found.get((f"wsauth_{name}", tuple(sorted(labels.items()))), 0.0)


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_happens_is_counted_over_all_processes(tmp_path: Path, workers: int) -> None:
    """Sockets, refusals, logins and a revocation are in the numbers, whichever process is asked."""
    async with office(tmp_path, "--workers", str(workers)) as at:
        key = await at.add_service("prometheus", "wsauth:metrics")
        password = await at.server.add_user("bob", PASSWORD)
        tokens = [await at.token("bob", password) for _ in range(2)]
        for _ in range(10):
            assert (await refusal(at.server, "x.y.z")).status == 401
        assert (await called("GET", f"{at.server.http}/auth/me", "x.y.z")).status_code == 401
        async with opened(at.server, token=tokens[0]) as one, opened(at.server, token=tokens[1]) as two:
            found = await eventually(lambda: with_open(at, key, 2.0))
            assert of(found, "handshakes_total", outcome="accepted", code="") == 2
            assert of(found, "handshakes_total", outcome="refused", code="token_invalid") == 10
            assert of(found, "requests_refused_total", code="token_invalid") == 1
            assert of(found, "logins_total") == 3  # with the administrator
            assert of(found, "login_queue") == 0
            assert 0 <= of(found, "feed_age_seconds") < 5
            assert of(found, "verification_seconds_count", kind="token") >= 12
            ended = await at.do("POST", "/revocations", {"issuer": OWN_ISSUER, "subject": "bob"})
            assert ended["matched"] == 2
            assert {await closed(one), await closed(two)} == {"3000 session_revoked"}
        found = await eventually(lambda: with_open(at, key, 0.0))
        assert of(found, "lease_ends_total", cause="session_revoked") == 2
        assert of(found, "revocation_close_seconds_count") == 2
        assert of(found, "revocations_total", kind="revoked") == 1
        assert of(found, "revocation_close_seconds_sum") < 20


async def with_open(at: Office, key: str, count: float) -> Numbers:
    """Return the numbers if so many connections are open, else nothing."""
    found = await numbers(at, key)
    return found if of(found, "connections", state="open") == count else {}


async def test_labels_are_ours_and_few(tmp_path: Path) -> None:
    """LG-11: however many paths, names and tokens are tried, no label holds any of it."""
    async with office(tmp_path) as at:
        key = await at.add_service("prometheus", "wsauth:metrics")
        before = len(await numbers(at, key))
        for number in range(30):
            await refusal(at.server, f"x.{number}.z", f"/mallory-{number}")
            await called("GET", f"{at.server.http}/auth/mallory-{number}", f"x.{number}.z")
        found = await numbers(at, key)
        assert "mallory" not in str(found)
        assert len(found) - before < 40
        codes = {value for _, labels in found for label, value in labels if label == "code"}
        assert codes <= {"", "other", *TABLE}


async def test_openmetrics_for_whoever_asks(tmp_path: Path) -> None:
    """A scraper that asks for OpenMetrics gets what its own parser, which is strict, takes."""
    async with office(tmp_path) as at:
        key = await at.add_service("prometheus", "wsauth:metrics")
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/openmetrics-text; version=1.0.0"}
        reply = await at.http.get("/metrics", headers=headers)
        assert reply.headers["content-type"].startswith("application/openmetrics-text")
        names = {family.name for family in openmetrics.text_string_to_metric_families(reply.text)}  # type: ignore[no-untyped-call]
        assert {"wsauth_connections", "wsauth_handshakes", "wsauth_verification_seconds"} <= names


async def test_only_a_grant_reads_them(tmp_path: Path) -> None:
    """They are on the admin listener only, for `wsauth:metrics`, which opens nothing else there."""
    async with office(tmp_path) as at:
        key = await at.add_service("prometheus", "wsauth:metrics")
        nobody = await at.add_service("nobody", "wsauth:tickets")
        reply = await at.http.get("/metrics", headers={"Authorization": f"Bearer {nobody}"})
        assert (reply.status_code, reply.json()["code"]) == (403, "permission_denied")
        assert await at.refused("GET", "/users", token=key) == "403 permission_denied"
        async with httpx2.AsyncClient(base_url=at.server.http) as public:
            reply = await public.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            assert reply.status_code == 404
        assert (await at.http.get("/metrics", headers={"Authorization": "Bearer x"})).status_code == 401
