"""`[[issuers]]`: somebody else's logins."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator

from wsauth.core.cookies import OURS
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.tokens.rights import role_map
from wsauth.settings.keys import Duration, File, Kind, Names, NeededDuration, Table, key

__all__ = ["Issuer"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_CLAIMS: Final = {"subject": "sub", "roles": "roles", "permissions": "scope"}
"""What is read where in a token; an application's own backend answers in our words."""


def _not_ours(value: str | bool) -> str | bool:
    if value == OWN_ISSUER:
        raise ValueError(f'"{OWN_ISSUER}" is the issuer of our own users')
    return value


def _text_or_off(value: Any) -> Any:
    """Take `false`, also as it comes by the environment, and no number in its place."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("write the text, or false")
    return False if isinstance(value, str) and value.lower() == "false" else value


def _checked(value: str | bool) -> str | bool:
    if value is True:
        raise ValueError("write the text, or false")
    return value


def _name(value: str) -> str:
    if value and (not _NAME.fullmatch(value) or value == OWN_ISSUER):
        raise ValueError(f'name = "{value}" cannot be: letters, digits, ".", "_" and "-", and not "{OWN_ISSUER}"')
    return value


def _cookie(value: str) -> str:
    if value and (not _TOKEN.fullmatch(value) or value in OURS):
        raise ValueError("cookie is no name of a cookie of theirs (RFC 6265 section 4.1.1)")
    return value


def _truth(value: Any) -> Any:
    """Take a truth, also as it comes by the environment, and the empty text."""
    named = {"true": True, "false": False, "": ""}
    if isinstance(value, str) and value.lower() in named:
        return named[value.lower()]
    if not isinstance(value, bool):
        raise ValueError('write true, false or ""')
    return value


def _roles(value: Any) -> Any:
    return {"*": "*"} if value == "*" else value


def _role_map(value: dict[str, Any]) -> dict[str, Any]:
    role_map(value)
    return value


_OAUTH: Final = frozenset(
    {"name", "kind", "issuer", "subject_claim", "roles_claim", "roles", "required_claims", "sign_in"}
)
"""What is read where people only sign in, by OAuth 2 without discovery."""
_COMMON: Final = frozenset(
    {"name", "kind", "issuer", "subject_claim", "roles_claim", "permissions_claim", "roles", "cookie", "max_ttl"}
)
_TOKENS: Final = frozenset({"audience", "required_claims", "leeway"})
_CLIENT: Final = frozenset({"client_id", "client_auth", "client_secret"})
_SIGN_IN: Final = _CLIENT | {"recheck", "scopes", "authorization_url", "token_url", "userinfo_url"}
_READ: Final = {
    "jwt": _TOKENS | {"jwks_url", "public_key", "secret", "algorithms", "token_types", "client_id", "sign_in"},
    "introspection": _TOKENS | _CLIENT | {"recheck", "url", "sign_in"},
    "http": frozenset({"recheck", "url", "sign_in"}),
}
"""Kind -> the keys that it reads, beside those that all do, and those of a sign-in where there is one."""

_Off = Annotated[str | bool, BeforeValidator(_text_or_off), AfterValidator(_checked), Kind("text or false")]
_Several = Annotated[
    str | tuple[str, ...] | bool,
    BeforeValidator(_text_or_off),
    AfterValidator(_checked),
    Kind("text, list of texts or false"),
]


class Issuer(Table):
    """Somebody else's logins: one entry for each who issues them."""

    name: Annotated[str, AfterValidator(_name)] = key(
        "", "Unique; default: the kind. In the log; the identities' issuer where `issuer` is false."
    )
    kind: Literal["jwt", "introspection", "http"] = key(
        "jwt",
        "jwt: signed tokens. introspection: opaque tokens, about which their server is asked (RFC 7662). http: what "
        "your own backend takes, which is asked as nginx's auth_request would.",
    )
    issuer: Annotated[_Off, AfterValidator(_not_ours)] = key(
        "",
        "The exact iss. It must be written, but for http; false: it is not checked.",
        example="https://login.example.com",
    )
    audience: _Several = key(
        "", "What aud must have, one of several. It must be written, but for http; false: not checked.", example="chat"
    )
    jwks_url: str = key(
        "", "jwt: where the key set is; or one of the next two; with none of them OpenID Connect Discovery says where."
    )
    public_key: File = key("", "jwt: a PEM file.")
    secret: str = key("", "jwt: for HS256, at least 32 bytes.", secret=True)
    algorithms: Names = key([], "jwt: those that are accepted; empty: what the keys can do.")
    token_types: Names = key(["at+jwt", "JWT"], 'jwt: accepted typ; a missing one is "JWT".')
    required_claims: Annotated[dict[str, Any], Kind("table")] = key(
        {}, "Claim or dotted path -> its value, or a list of which it must be one.", example={"tid": "my-tenant"}
    )
    leeway: Duration = key("30s", "How far clocks may differ; at most 60s.")
    max_ttl: Duration = key(
        "24h", "A token that lives longer is refused; off: no limit. Also how long a revocation is kept."
    )
    subject_claim: str = key("", "Whose value is the subject; default: sub, for http subject.")
    roles_claim: str = key("", "Or a path, realm_access.roles; default: roles.")
    permissions_claim: str = key("", "Or a path; default: scope, for http permissions.")
    roles: Annotated[dict[str, Any], BeforeValidator(_roles), AfterValidator(_role_map), Kind('table or "*"')] = key(
        {}, 'Their roles -> ours; a role that is not in it is dropped, "*" takes all.', example={"their-admin": "admin"}
    )
    cookie: Annotated[str, AfterValidator(_cookie)] = key(
        "", "The cookie in which the credential may also come; then an allowed Origin is required."
    )
    recheck: NeededDuration = key(
        "5m",
        "introspection and http: how long a connection stands on an answer before it is asked again; and a session on "
        "the provider's word, where it gave a refresh token.",
    )
    url: str = key("", "introspection: the endpoint. http: where your backend is asked.")
    client_id: str = key("", "Who we are at the provider: to sign in, to introspect, and to be told of log-outs.")
    sign_in: Annotated[str | bool, BeforeValidator(_truth), Kind("true or false")] = key(
        "", "People sign in here with this provider; default: true for jwt with a client_id, else false."
    )
    authorization_url: str = key("", "With token_url and userinfo_url: to sign in by OAuth 2, without discovery.")
    token_url: str = key("", "See authorization_url.")
    userinfo_url: str = key("", "See authorization_url: its answer says who somebody is.")
    client_auth: Literal["basic", "post"] = key("basic", "How client_id and client_secret are sent.")
    client_secret: str = key("", "Who we are at the provider, or at the introspection endpoint.", secret=True)
    scopes: Names = key(
        ["openid", "profile", "email"],
        "What is asked for at the sign-in; with offline_access most providers give a refresh token, by which the "
        "session is asked about every recheck.",
    )

    @property
    def unread(self) -> list[str]:
        """Return the keys that are written and that this kind does not read."""
        plain, read = Issuer(kind=self.kind), _COMMON | _READ[self.kind] if self.takes_tokens else _OAUTH
        read |= _SIGN_IN if self.signs_in else frozenset()
        return [name for name, value in self if name not in read and value != getattr(plain, name)]

    @property
    def signs_in(self) -> bool:
        """Tell whether people sign in here with this provider."""
        return bool(self.client_id) and self.kind == "jwt" if self.sign_in == "" else bool(self.sign_in)

    @property
    def takes_tokens(self) -> bool:
        """Tell whether credentials of this issuer are taken: OAuth 2 without discovery only signs people in."""
        keys = self.jwks_url or self.public_key or self.secret
        return self.kind != "jwt" or not self.authorization_url or bool(keys)

    @property
    def named(self) -> str:
        """Return the name, or what stands for it."""
        return self.name or self.kind

    def claim(self, what: Literal["subject", "roles", "permissions"]) -> str:
        """Return where in a token or an answer this is read."""
        written: str = getattr(self, f"{what}_claim")
        return written or (what if self.kind == "http" else _CLAIMS[what])
