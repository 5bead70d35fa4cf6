"""JSON Schema (2020-12), checked by jsonschema-rs: compiled once, never fetched, and never repeating what was sent."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from wsauth.errors import ConfigurationError

__all__ = ["compiled"]

_LONGEST: Final = 100
"""Characters of a place."""


def compiled(schema: Mapping[str, Any], name: str) -> Callable[[Any], str | None]:
    """Return what looks at a value by a schema: it returns the place and the keyword that is broken, or `None`.

    Args:
        schema: of draft 2020-12, unless it says another; references reach inside it only.
        name: where it stands, for errors.

    Raises:
        ConfigurationError: it is no schema, or refers to somewhere else; or jsonschema-rs is missing.
    """
    try:
        import jsonschema_rs
    except ImportError:
        raise ConfigurationError(f"{name}: message rules with a schema need: pip install 'wsauth[rules]'") from None
    try:
        validator = jsonschema_rs.validator_for(
            dict(schema), retriever=_refuse, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise ConfigurationError(f"{name}: it is no JSON Schema: {first}") from None

    def wrong(value: Any) -> str | None:
        if validator.is_valid(value):
            return None
        for error in validator.iter_errors(value):
            # A member that the schema does not name has a name of the sender's.
            named = [
                str(each) if each in error.schema_path or isinstance(each, int) else "*" for each in error.instance_path
            ]
            return f"{'.'.join(named)[-_LONGEST:] or 'the message'}: {error.schema_path[-1]}"
        return "the message: schema"

    return wrong


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not inside the schema, and nothing is fetched")
