"""What an application's own tests need: its guard with a clock, tokens and clients of the test's choosing.

`pip install 'wsauth[testing]'`. For who somebody is without any token there is `Guard.override`. As pytest fixtures:
`wsauth.testing.plugin`.
"""

from wsauth.testing.browser import Browser, BrowserSocket, Close, browser
from wsauth.testing.clock import FakeClock
from wsauth.testing.server import LiveServer, live_server
from wsauth.testing.tokens import TokenIssuer

__all__ = ["Browser", "BrowserSocket", "Close", "FakeClock", "LiveServer", "TokenIssuer", "browser", "live_server"]
