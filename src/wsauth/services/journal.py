"""Explain in the log what happened: for every no the rule that said it, what it saw, the line to change."""

import logging
from typing import Final

from wsauth.core import events
from wsauth.core.throttling import network_of
from wsauth.services.events import Bus

__all__ = ["subscribe"]

_log = logging.getLogger("wsauth")
_FLOOD: Final = 200
"""Equal refusals of one address in a minute that have a line each."""
_MINUTE: Final = 60.0
_REMEMBERED: Final = 10_000


def subscribe(bus: Bus) -> None:
    """Write what looks like an attack as a warning, refusals, orders and whom wsauth closed at INFO, the rest at DEBUG;
    expected life makes no noise.
    """
    flood = _Flood()
    for kind in (events.HandshakeRefused, events.RenewalRefused, events.MessageRefused):
        bus.subscribe(kind, lambda event: _refused(event, flood))
    for ending in (events.Revoked, events.Disconnected):
        bus.subscribe(ending, _ended)
    for step in (events.Connected, events.Renewed, events.RightsChanged, events.Expired):
        bus.subscribe(step, _lived)
    bus.subscribe(events.Closed, lambda event: _closed(event, flood))
    bus.subscribe(events.RequestRefused, lambda event: _request_refused(event, flood))
    bus.subscribe(events.LoggedIn, _logged_in)
    bus.subscribe(events.Noticed, _noticed)
    for change in (events.TokenReused, events.SessionEnded, events.PasswordChanged, events.UserChanged):
        bus.subscribe(change, _changed)
    for other in (events.KeysChanged, events.BlockChanged):
        bus.subscribe(other, _changed)


class _Flood:
    """Count equal refusals of an address, so that a flood of them does not fill the log, nor cost what it would."""

    def __init__(self) -> None:
        # Code, rule and network -> since when, and how many.
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def count(self, code: str, rule: str, address: str, at: float) -> int:
        """Return how many there were within the minute, this one included; 0 where it needs no line."""
        key = (code, rule, network_of(address))
        since, seen = self._seen.get(key, (at, 0))
        if at - since >= _MINUTE:
            since, seen = at, 0
        if key not in self._seen and len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[key] = (since, seen + 1)
        times, odd = divmod(seen + 1, _FLOOD)
        return seen + 1 if seen < _FLOOD or (not odd and not times & (times - 1)) else 0


def _refused(event: events.RefusalEvent, flood: _Flood) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    count = flood.count(event.code, event.reason, event.about.address, event.at)
    if not count:
        return
    _log.info(
        # First what we chose ourselves: nobody can have it redacted away by what they send.
        "%s %s (id=%s)%s on connection %s from %s%s at %s: %s%s",
        type(event).__name__,
        event.code,
        event.id,
        _times(count),
        event.connection_id,
        event.about.address or "?",
        f" ({event.source})" if event.source else "",
        _clean(event.about.path),
        _clean(event.reason),
        _clean(_mend(event.mend)),
    )


def _request_refused(event: events.RequestRefused, flood: _Flood) -> None:
    count = flood.count(event.code, event.reason, event.address, event.at)
    if not count:
        return
    _log.info(
        "RequestRefused %s (id=%s)%s from %s at %s %s: %s%s",
        event.code,
        event.id,
        _times(count),
        event.address or "?",
        _clean(event.method),
        _clean(event.path),
        _clean(event.reason),
        _clean(_mend(event.mend)),
    )


def _logged_in(event: events.LoggedIn) -> None:
    _log.info(
        "LoggedIn %s from %s, session %s",
        _clean(str(event.identity)),
        event.address or "?",
        event.identity.session_id,
    )


def _noticed(event: events.Noticed) -> None:
    named = {name: getattr(event, name) for name in ("subject", "issuer", "session_id", "token_id", "connection_id")}
    whom = "".join(f", {name} {_clean(value)}" for name, value in named.items() if value is not None)
    _log.warning("Noticed %s from %s%s: %s", event.what, event.address or "?", whom, event.reason)


def _changed(event: events.ChangeEvent) -> None:
    named = ", ".join(
        f"{name}={_clean(repr(getattr(event, name)))}" for name in event.__struct_fields__ if name != "at"
    )
    _log.info("%s %s", type(event).__name__, named)


def _ended(event: events.EndingEvent) -> None:
    named = {name: getattr(event, name) for name in ("subject", "issuer", "session_id", "token_id", "connection_id")}
    what = ", ".join(f"{name}={value!r}" for name, value in named.items() if value is not None)
    _log.info("%s %s: %d connections (id=%s)", type(event).__name__, what, event.matched, event.id)


def _closed(event: events.Closed, flood: _Flood) -> None:
    """Write the id that the client was told, which is in the reason."""
    if event.by != "wsauth":
        _lived(event)
        return
    if not _log.isEnabledFor(logging.INFO):
        return
    rule = event.reason.partition(";")[0]
    count = flood.count(rule, event.explanation, event.about.address, event.at)
    if count:
        who = _who(event)
        _log.info(
            "Closed %s%s %s at %s with %d %s: %s%s",
            event.about.connection_id,
            _times(count),
            _clean(who),
            _clean(event.about.path),
            event.code,
            event.reason,
            _clean(event.explanation),
            _clean(_mend(event.mend)),
        )


def _times(count: int) -> str:
    return f", the {count}th within a minute" if count > _FLOOD else ""


def _mend(line: str) -> str:
    return f"; to change it: {line}" if line else ""


def _lived(event: events.ConnectionEvent) -> None:
    if _log.isEnabledFor(logging.DEBUG):
        who = _who(event)
        _log.debug(
            "%s %s %s at %s",
            type(event).__name__,
            event.about.connection_id,
            _clean(who),
            _clean(event.about.path),
        )


def _who(event: events.ConnectionEvent) -> str:
    identity = event.identity
    return str(identity) if identity is not None and identity.is_authenticated else "nobody"


def _clean(text: str) -> str:
    """Return text that cannot forge a log line (CWE-117)."""
    return text.encode("unicode_escape").decode() if not text.isprintable() else text
