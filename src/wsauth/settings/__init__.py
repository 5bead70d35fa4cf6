"""The configuration: one module per table, each key typed and described where it is declared."""

from wsauth.settings.draft import template
from wsauth.settings.loading import load
from wsauth.settings.risks import warnings
from wsauth.settings.settings import Settings

__all__ = ["Settings", "load", "template", "warnings"]
