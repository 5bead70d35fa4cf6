"""Read the keys that stand in the configuration: a secret, a PEM key, or a key set as a value or a file."""

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from wsauth.core.tokens.keys import KeyRefused, KeyUnfit, VerifyingKey, from_pem, from_secret, is_guessable
from wsauth.core.tokens.keysets import KeySet, from_jwks
from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import ConfigurationError
from wsauth.services.keys.keysets import ConfiguredKeys

__all__ = ["keys_of_jwks", "keys_of_pem", "keys_of_secret"]

_log = logging.getLogger("wsauth")
_MAX_FILE: Final = 1024 * 1024


def keys_of_secret(secret: object, allowed: Collection[str]) -> ConfiguredKeys:
    """Return the HS256 key of a secret: text, bytes, or what has `get_secret_value()` (`SecretStr`).

    Raises:
        ConfigurationError: it cannot keep a token safe; the text does not repeat it.
    """
    value = getattr(secret, "get_secret_value", lambda: secret)()
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise ConfigurationError("secret: write text or bytes")
    keys = _only("secret", lambda: from_secret(value, allowed))
    if is_guessable(value):
        _log.warning("the secret can be guessed, and tokens with it forged: draw one with `openssl rand -hex 32`")
    return keys


def keys_of_pem(public_key: str | bytes | Path, allowed: Collection[str]) -> ConfiguredKeys:
    """Return the key of a PEM text, or of the file of that name.

    Raises:
        ConfigurationError: there is no usable public key in it.
    """
    pem = public_key.encode() if isinstance(public_key, str) else public_key
    if isinstance(pem, Path) or b"-----BEGIN" not in pem:
        pem = _read(Path(public_key.decode() if isinstance(public_key, bytes) else public_key), "public_key")
    return _only("public_key", lambda: from_pem(pem, allowed))


def keys_of_jwks(jwks: Mapping[str, object] | str | Path, allowed: Collection[str]) -> ConfiguredKeys:
    """Return the keys of a JWK set, or of the file of that name.

    Raises:
        ConfigurationError: it is no key set, has a broken or weak key, or none that can be used.
    """
    try:
        document = jwks if isinstance(jwks, Mapping) else load_object(_read(Path(jwks), "jwks"))
        keys, remarks = from_jwks(document, allowed, remote=False)
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"jwks: {error}") from None
    if not keys:
        raise ConfigurationError("; ".join(["jwks: it has no key that can be used here", *remarks[:5]]))
    return ConfiguredKeys(keys)


def _only(name: str, load: Callable[[], VerifyingKey]) -> ConfiguredKeys:
    try:
        return ConfiguredKeys(KeySet([load()]))
    except (KeyRefused, KeyUnfit) as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except (OSError, ValueError) as error:
        # A secret or a key that was given here by mistake must not come back in an error's text.
        why = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise ConfigurationError(f"{name}: the file cannot be read ({why}): give the key or a path") from None
    if len(content) > _MAX_FILE:
        raise ConfigurationError(f"{name}: the file is larger than 1 MiB")
    return content
