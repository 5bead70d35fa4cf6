"""The key file: made once, read by nobody else, and all the keys that come of it."""

import base64
import copy
import hmac
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from wsauth.errors import ConfigurationError
from wsauth.services.keyfile import KeyFile, Mac

OPENER = """
import sys
from wsauth.services.keyfile import KeyFile
print("ready", flush=True)
for line in sys.stdin:
    print(KeyFile.open(line.strip()).fingerprint, flush=True)
"""


def hkdf(key: bytes, info: bytes) -> bytes:
    """Return 32 bytes as RFC 5869 says, written again without the library."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


@contextmanager
def opener() -> Iterator[subprocess.Popen[str]]:
    """Run a process that opens each key file it is told and answers with its fingerprint."""
    with subprocess.Popen(
        [sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Write a line to the process."""
    assert process.stdin
    process.stdin.write(f"{line}\n")


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line of the process."""
    assert process.stdout
    return process.stdout.readline().strip()


def test_the_first_start_makes_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    """The file is one line with a prefix, has mode 0600 under any umask, and leaves no draft beside it."""
    path = tmp_path / "wsauth.key"
    before = os.umask(0)
    try:
        made = KeyFile.open(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert re.fullmatch(r"wsauth-key-1:[A-Za-z0-9_-]{43}\n", path.read_text())
    assert os.listdir(tmp_path) == ["wsauth.key"]
    assert KeyFile.open(str(path)).fingerprint == made.fingerprint


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    """Six processes race for each of ten files, and all of them end with the key that the file has."""
    with ExitStack() as stack:
        openers = [stack.enter_context(opener()) for _ in range(6)]
        assert {said(each) for each in openers} == {"ready"}
        for number in range(10):
            path = tmp_path / f"{number}.key"
            for each in openers:
                tell(each, str(path))
            assert {said(each) for each in openers} == {KeyFile.open(path).fingerprint}
    assert len(os.listdir(tmp_path)) == 10


def test_every_file_has_another_key(tmp_path: Path) -> None:
    """Two files never give the same keys."""
    alice, mallory = KeyFile.open(tmp_path / "a"), KeyFile.open(tmp_path / "b")
    assert alice.fingerprint != mallory.fingerprint
    assert alice.derive("tickets") != mallory.derive("tickets")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    """One bit for the group or the world is enough, and the text has the command that mends it."""
    path = tmp_path / "wsauth.key"
    KeyFile.open(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"mode {mode:04o}.*chmod 600") as error:
        KeyFile.open(path)
    assert "\n" not in str(error.value)
    path.chmod(0o400)
    assert KeyFile.open(path).fingerprint


KEY = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        KEY,
        b"wsauth-key-1:",
        b"wsauth-key-2:" + KEY,
        b"wsauth-key-1:" + KEY[:-1],
        b"wsauth-key-1:" + KEY + b"A",
        b"wsauth-key-1:" + KEY + b"=",
        b"wsauth-key-1:" + KEY[:-1] + b"9",  # the last character has two bits that belong to no byte
        b"wsauth-key-1:" + KEY[:-1] + b"+",
        b"wsauth-key-1: " + KEY,
        b"wsauth-key-1:" + KEY + b"\nmore",
        b"wsauth-key-1:\xff" + KEY[1:],
        b"wsauth-key-1:" + KEY + b" " * 1000,
    ],
)
def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty, cut, padded or foreign file is neither used nor overwritten, and the text repeats none of it."""
    path = tmp_path / "wsauth.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"key file .*; restore it from a backup") as error:
        KeyFile.open(path)
    assert KEY[:20].decode() not in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_end_makes_no_difference(tmp_path: Path, end: bytes) -> None:
    """A file that went through an editor or a secret store is the same key."""
    path = tmp_path / "wsauth.key"
    path.write_bytes(b"wsauth-key-1:" + KEY + end)
    path.chmod(0o600)
    assert KeyFile.open(path).derive("tickets") == hkdf(bytes(range(32)), b"wsauth/derive/tickets")


def test_a_file_that_cannot_be_made_or_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    """A missing folder, a folder for a file and a link to nowhere name the file."""
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "key")
    for path in (tmp_path / "missing" / "key", tmp_path, tmp_path / "dangling"):
        with pytest.raises(ConfigurationError, match=re.escape(f"key file {path}: ")) as error:
            KeyFile.open(path)
        assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["dangling"]


def test_a_link_to_a_key_file_is_one(tmp_path: Path) -> None:
    """Secrets that an orchestrator mounts are links."""
    made = KeyFile.open(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert KeyFile.open(tmp_path / "link").fingerprint == made.fingerprint


def test_keys_of_different_uses_and_purposes_are_independent() -> None:
    """No key is found as another: each use and each purpose has its own, the same each time."""
    key = KeyFile(bytes(32), "test")
    found = {key.derive("a"), key.derive("b"), key.mac("a").sign(b""), key.mac("b").sign(b"")}
    assert len(found) == 4
    assert key.derive("a") == KeyFile(bytes(32), "test").derive("a")
    assert key.mac("a").sign(b"m") == hmac.digest(hkdf(bytes(32), b"wsauth/mac/a"), b"m", "sha256")
    assert key.mac("a").sign(b"m") != hmac.digest(key.derive("a"), b"m", "sha256")
    assert key.fingerprint == hkdf(bytes(32), b"wsauth/fingerprint/")[:8].hex()


def test_a_wrapped_secret_comes_back() -> None:
    """What was wrapped is read under the same purpose and name, and is never stored the same way twice."""
    key = KeyFile.in_memory()
    for secret in (b"", b"secret", bytes(10_000)):
        blobs = [key.wrap("keys", "k1", secret) for _ in range(2)]
        assert [key.unwrap("keys", "k1", blob) for blob in blobs] == [secret, secret]
        assert blobs[0] != blobs[1]
        assert not secret or secret not in blobs[0]


def test_a_wrapped_secret_is_bound_to_its_place() -> None:
    """Mallory, who writes to the store, cannot move a secret to another name or purpose, nor shift the border."""
    key = KeyFile.in_memory()
    blob = key.wrap("keys", "alice", b"secret")
    for purpose, name in (("keys", "mallory"), ("tickets", "alice"), ("keysa", "lice"), ("key", "salice")):
        with pytest.raises(ConfigurationError, match="damaged"):
            key.unwrap(purpose, name, blob)


def test_no_changed_or_cut_secret_is_read() -> None:
    """Every changed byte and every cut end is an error, never another secret."""
    key = KeyFile.in_memory()
    blob = key.wrap("keys", "k1", b"secret")
    for at in range(len(blob)):
        for bad in (blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], blob[:at]):
            with pytest.raises(ConfigurationError):
                key.unwrap("keys", "k1", bad)


def test_anothers_key_file_is_told_from_damage(tmp_path: Path) -> None:
    """The wrong key file is named with its fingerprint and the configuration key to set."""
    other = KeyFile.open(tmp_path / "other.key")
    blob = KeyFile.in_memory().wrap("keys", "k1", b"secret")
    with pytest.raises(ConfigurationError, match=rf"other\.key \(fingerprint {other.fingerprint}\).*store\.key_file"):
        other.unwrap("keys", "k1", blob)


def test_a_mac_is_good_for_its_message_and_key_only() -> None:
    """A tag of another message, purpose or key is worth nothing, and neither is part of one."""
    key = KeyFile.in_memory()
    mac, tag = key.mac("refresh"), key.mac("refresh").sign(b"alice")
    assert len(tag) == 32
    assert mac.check(b"alice", tag)
    assert not mac.check(b"mallory", tag)
    assert not key.mac("csrf").check(b"alice", tag)
    assert not KeyFile.in_memory().mac("refresh").check(b"alice", tag)
    assert not any(mac.check(b"alice", bad) for bad in (b"", tag[:-1], tag + b"\0", bytes(32)))


def test_a_key_shows_itself_nowhere() -> None:
    """Neither repr shows a key, and neither object can be pickled or copied."""
    key = KeyFile(bytes(range(32)), "key file k")
    assert (repr(key), repr(key.mac("a"))) == ("KeyFile('key file k', key=<hidden>)", "Mac(<hidden>)")
    for each in (key, Mac(b"k")):
        for attempt in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="pickled"):
                attempt(each)


def test_a_key_of_another_length_is_an_error() -> None:
    """A short key is refused where it is made."""
    with pytest.raises(ConfigurationError, match="32 bytes"):
        KeyFile(bytes(16), "test")
