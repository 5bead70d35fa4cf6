"""`wsauth demo`: the server with a chat behind it, and a page that shows what a lease is."""

from wsauth.demo.running import run

__all__ = ["run"]
