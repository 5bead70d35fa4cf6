"""Fill a store with users, sessions and live rows of the feed, as years of use would."""

import json
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

KEPT = 86_000
"""Seconds that the rows of the feed are still live."""

USERS = """
    INSERT INTO users (folded, username, roles, grants, epoch, disabled, service, created_at, password_hash)
    VALUES (?1, ?1, '["member"]', '[]', 0, 0, 0, ?2, '')
"""
SESSIONS = """
    INSERT INTO sessions (id, subject, kind, generation, generation_at, epoch, created_at, refreshed_at, address, agent)
    VALUES (?1, ?2, ?4, 3, ?3, 0, ?3, ?3, '192.0.2.7', 'Mozilla/5.0 (X11; Linux x86_64)')
"""
FEED = "INSERT INTO feed (kind, key, value, keep_until, at) VALUES (?, ?, ?, ?, ?)"


def session_id(number: int) -> str:
    """Return the id of a session that was filled in, as long as a real one."""
    return f"filled-{number:025d}"


def cookie_id(number: int) -> str:
    """Return the id of a session that a browser holds."""
    return f"cookie-{number:025d}"


def fill(store: Path, count: int) -> None:
    """Add that many users, each with a session, and that many rows of the feed."""
    now = time.time()
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executemany(USERS, ((f"user-{number}", now) for number in range(count)))
        connection.executemany(
            SESSIONS, ((session_id(number), f"user-{number}", now, "tokens") for number in range(count))
        )
        connection.executemany(FEED, rows(0, count, now))


def add_cookies(store: Path, count: int) -> None:
    """Add a session that a browser holds for each of the first users that were filled in."""
    now = time.time()
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executemany(
            SESSIONS, ((cookie_id(number), f"user-{number}", now, "cookie") for number in range(count))
        )


def publish(store: Path, first: int, count: int) -> None:
    """Write rows of the feed in one transaction, as another process would."""
    with closing(sqlite3.connect(store, timeout=10)) as connection, connection:
        connection.executemany(FEED, rows(first, count, time.time()))


def rows(first: int, count: int, now: float) -> Iterable[tuple[str, str, str, float, float]]:
    """Return rows of the feed: in turn an ended session, a revoked token, and a user whose roles changed."""
    for number in range(first, first + count):
        kind = ("session", "token", "user")[number % 3]
        key, value = {
            "session": (f"ended-{number:025d}", "{}"),
            "token": (json.dumps(["https://login.example.com", f"revoked-{number}"]), "{}"),
            "user": (f"user-{number}", '{"epoch":0,"roles":["member"],"grants":[]}'),
        }[kind]
        yield kind, key, value, now + KEPT, now
