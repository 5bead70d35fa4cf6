"""`[login]`: how people sign in."""

from pydantic import StrictBool

from wsauth.settings.keys import Table, key

__all__ = ["Login"]


class Login(Table):
    """How people sign in."""

    form: StrictBool = key(False, "POST /auth/login also takes the form that FastAPI's docs page sends.")
