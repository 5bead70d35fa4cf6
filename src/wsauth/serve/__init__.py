"""Processes that serve: listening sockets, TLS, strict requests, workers and signals."""

from wsauth.serve.application import Application, Factory, Urls
from wsauth.serve.running import run

__all__ = ["Application", "Factory", "Urls", "run"]
