"""A Django application with users, sessions and a log-out of its own. Arguments: database, port, alice's password.

`/whoami` is all that it has for wsauth: who the session's user is, or 401.
"""

# mypy: disable-error-code="import-untyped"
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings

DATABASE, PORT, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a key for the tests",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import authenticate, login, logout  # noqa: E402  after the settings
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


def sign_in(request: HttpRequest) -> HttpResponse:
    """Log in."""
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return HttpResponse("welcome")


def sign_out(request: HttpRequest) -> HttpResponse:
    """Log out."""
    logout(request)
    return HttpResponse("bye")


def whoami(request: HttpRequest) -> HttpResponse:
    """Say who the session's user is."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    roles = list(request.user.groups.values_list("name", flat=True))
    return JsonResponse({"subject": request.user.get_username(), "roles": roles})


urlpatterns = [path("login", sign_in), path("logout", sign_out), path("whoami", whoami)]


class Quiet(WSGIRequestHandler):
    """Write no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


call_command("migrate", verbosity=0)
alice = User.objects.create_user("alice", password=PASSWORD)
alice.groups.add(Group.objects.create(name="member"))
with make_server("127.0.0.1", PORT, get_wsgi_application(), handler_class=Quiet) as server:
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    server.serve_forever()
