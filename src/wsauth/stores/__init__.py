"""Databases. `open_store` makes the one that a URL names; how to add another: docs/topics/store.md."""

from wsauth.stores.urls import open_store

__all__ = ["open_store"]
