"""Say what is measured, what is compared with what, and what must be reached."""

from dataclasses import dataclass

GROUPS = (
    "gateway-connects",
    "gateway-door",
    "gateway-rejections",
    "gateway-messages",
    "gateway-memory",
    "gateway-stuck",
    "gateway-revocation",
)

JWT = "haproxy_jwt"
HALVES = {"wsauth_python": "plain Python", "wsauth": "compiled"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is measured: a gateway of `stacks` under a load of `Meter`."""

    stack: str
    load: str

    def __str__(self) -> str:
        """Return the cell's name in tables."""
        return f"{self.stack} / {self.load}"


@dataclass(frozen=True, slots=True)
class Row:
    """One value, or one ratio of two cells in the same round, and its target.

    Attributes:
        group: that it belongs to.
        title: what it is.
        value: the name of the value in the findings.
        measured: of which cell.
        against: the cell that it is divided by; `None` for the value itself.
        target: at least this, or at most; `None` where it is only shown.
        later: the target of a later release.
        at_most: smaller is better.
        unit: of the value itself.
    """

    group: str
    title: str
    value: str
    measured: Cell
    against: Cell | None = None
    target: float | None = None
    later: float | None = None
    at_most: bool = False
    unit: str = ""

    def reached(self, found: float, target: float) -> bool:
        """Say whether a value reaches a target."""
        return found <= target if self.at_most else found >= target

    def text(self, found: float) -> str:
        """Return a value as the table prints it."""
        return f"{found:,.3f}" if self.against else f"{found:,.2f} {self.unit}"

    @property
    def target_text(self) -> str:
        """Return the target as the table prints it."""
        if self.target is None:
            return "–"
        sign, unit = "≤" if self.at_most else "≥", "" if self.against else f" {self.unit}"
        text = f"{sign} {self.target:g}{unit}"
        return text if self.later is None else f"{text}, then {self.later:g}"


def all_cells() -> dict[str, list[Cell]]:
    """Return what is measured for each group, in the order of the forward rounds: what is compared stands together."""
    proxies = ["nginx", JWT, "wsauth_python", "wsauth"]
    connects = ["nginx", "nginx_fastapi", "nginx_small", "haproxy", "haproxy_claims", JWT, "wsauth", "wsauth_python"]
    return {
        "gateway-connects": [
            *(Cell(stack, "seen") for stack in connects),
            Cell("wsauth", "fresh"),
            *(Cell("wsauth_default", load) for load in ("seen", "fresh", "ticket", "cookie")),
        ],
        "gateway-door": [
            Cell(s, load) for load in ("seen", "fresh", "depth 1") for s in ("wsauth_bare", "wsauth_door")
        ],
        "gateway-rejections": [Cell(s, "reject") for s in ("nginx_fastapi", "nginx_small", JWT, "wsauth")],
        "gateway-messages": [
            Cell(stack, load) for load in ("paced", "depth 1", "depth 8", "mixed 8", "up", "down") for stack in proxies
        ],
        "gateway-memory": [
            *(Cell(stack, "idle") for stack in proxies),
            *(Cell(stack, "idle TLS") for stack in ("haproxy_tls", "wsauth_tls")),
        ],
        "gateway-stuck": [Cell(s, load) for load in ("deaf client", "deaf backend") for s in (JWT, "wsauth")],
        "gateway-revocation": [Cell("wsauth_default", "crowd")],
    }


def all_rows(sockets: int, bystanders: int) -> list[Row]:
    """Return every row, in the order of the table; the numbers are those of the revocation."""
    return [*_connects(), *_door(), *_messages(), *_memory(), *_revocation(sockets, bystanders)]


def _connects() -> list[Row]:
    group, rate = "gateway-connects", "per_second"
    seen, fresh, plain = Cell("wsauth", "seen"), Cell("wsauth", "fresh"), Cell("wsauth_python", "seen")
    jwt, asked = Cell(JWT, "seen"), Cell("nginx_fastapi", "seen")
    rows = [
        Row(group, "connects, HS256 seen before", rate, seen, asked, 2.0),
        Row(group, "connects, HS256 seen before", rate, seen, jwt, 0.8, 1.0),
        Row(group, "connects, HS256 fresh", rate, fresh, jwt, 0.65),
        Row(group, "connects, HS256 seen before, plain Python", rate, plain, jwt),
    ]
    shown = {
        "seen": "EdDSA seen before, assertion",
        "fresh": "EdDSA fresh, assertion",
        "ticket": "ticket, assertion",
        "cookie": "cookie, assertion",
    }
    rows += [Row(group, f"connects, {text}", rate, Cell("wsauth_default", load), jwt) for load, text in shown.items()]
    ours, small = Cell("wsauth", "reject"), Cell("nginx_small", "reject")
    return [*rows, Row("gateway-rejections", "rejections, bad signature", rate, ours, small, 1.2)]


def _door() -> list[Row]:
    loads = {"seen": "connects, HS256 seen before", "fresh": "connects, HS256 fresh", "depth 1": "echo/s, depth 1"}
    return [
        Row("gateway-door", f"{text}, the door on", "per_second", Cell("wsauth_door", load), Cell("wsauth_bare", load))
        for load, text in loads.items()
    ]


def _messages() -> list[Row]:
    group, rows = "gateway-messages", []
    for stack, half in HALVES.items():
        cell, against = Cell(stack, "paced"), Cell(JWT, "paced")
        rows.append(Row(group, f"CPU per echo below saturation, {half}", "us", cell, against, 1.1, 1.0, at_most=True))
    titles = {"depth 1": "depth 1", "depth 8": "depth 8", "mixed 8": "depth 8, frames of 20 to 900 bytes"}
    targets = {"wsauth_python": (0.9, 0.8, 0.7), "wsauth": (1.0, 0.95, 0.9)}
    for number, (load, title) in enumerate(titles.items()):
        for stack, half in HALVES.items():
            cell, against = Cell(stack, load), Cell(JWT, load)
            rows.append(Row(group, f"echo/s, {title}, {half}", "per_second", cell, against, targets[stack][number]))
    for load, title in {"up": "from the client", "down": "to the client"}.items():
        cell, against = Cell("wsauth", load), Cell(JWT, load)
        rows.append(Row(group, f"bytes in frames of 64 KiB, {title}, compiled", "per_second", cell, against))
    return rows


def _memory() -> list[Row]:
    group, ours, tls = "gateway-memory", Cell("wsauth", "idle"), Cell("wsauth_tls", "idle TLS")
    title = "memory per idle connection"
    rows = [
        Row(group, title, "kib", ours, Cell(JWT, "idle"), 0.5, at_most=True),
        Row(group, f"{title}, TLS (HAProxy too)", "kib", tls, Cell("haproxy_tls", "idle TLS"), at_most=True),
    ]
    for load, end in {"deaf client": "a client", "deaf backend": "an upstream"}.items():
        cell = Cell("wsauth", load)
        title = f"memory per connection with {end} that reads nothing"
        rows.append(Row("gateway-stuck", title, "kib", cell, None, 128, at_most=True, unit="KiB"))
    return rows


def _revocation(sockets: int, bystanders: int) -> list[Row]:
    group, cell = "gateway-revocation", Cell("wsauth_default", "crowd")
    title = f"{sockets:,} sockets of one identity: revoke → last close frame"
    meanwhile = f"echo p99 of {bystanders} bystanders meanwhile"
    return [
        Row(group, title, "last_s", cell, None, 1, at_most=True, unit="s"),
        Row(group, meanwhile, "during_p99_ms", cell, None, 50, at_most=True, unit="ms"),
    ]
