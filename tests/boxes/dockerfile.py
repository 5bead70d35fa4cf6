"""Carry out a Dockerfile without docker: its steps in empty folders, into which this machine's system is mounted.

This machine stands for the base image: its `/usr`, read-only, and at `/usr/local` the Python that runs the tests. What
else there is, the Dockerfile has copied or made. It takes root, see `tests.boxes.filesystem`.
"""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from tests.boxes.container import Container, run

__all__ = ["Image", "build", "sent", "steps"]

_CLIENTS = re.compile(r"(PIP|UV|SSL|REQUESTS|CURL)_\w+|(?i:\w+_proxy)")
"""Variables that tell clients of package registries the way, as `docker build` hands on those of proxies."""
_CACHE = "/cache"


@dataclass
class Image:
    """Be what a stage has made so far.

    Attributes:
        root: what stands on its disk beside the base image.
        environ: `ENV`.
        user: `USER`, as numbers.
        folder: `WORKDIR`.
        volumes: `VOLUME`.
        ports: `EXPOSE`.
        command: `CMD`.
    """

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    user: tuple[int, int] = (0, 0)
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def container(self) -> Container:
        """Return a container of it, as `docker run` without options would make one."""
        return Container(self.root, self.command, self.environ, self.user, self.folder)

    def inside(self, path: str) -> Path:
        """Return where a path of the image is on this machine."""
        return self.root / os.path.join(self.folder, path).lstrip("/")


def steps(text: str) -> list[tuple[str, str]]:
    """Return the instructions and their values, without comments and with broken lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(name, value.strip()) for name, _, value in (line.partition(" ") for line in joined.split("\n"))]


def build(file: Path, context: Path, folder: Path, cache: Path) -> Image:
    """Carry out a Dockerfile and return the image of its last stage.

    Args:
        file: the Dockerfile, beside which stands `….dockerignore`.
        context: the folder that is sent to the builder.
        folder: an empty one, for the stages.
        cache: for the clients of package registries.
    """
    builder = _Builder(folder, cache)
    builder.receive(context, [name for name, _ in steps(Path(f"{file}.dockerignore").read_text("utf-8"))])
    for name, value in steps(file.read_text("utf-8")):
        builder.step(name, value)
    return builder.image


class _Builder:
    def __init__(self, folder: Path, cache: Path) -> None:
        self.image = Image(folder)
        self._folder = folder
        self._cache = cache
        self._stages: dict[str, Image] = {}
        self._arguments: dict[str, str] = {}

    def receive(self, context: Path, patterns: list[str]) -> None:
        """Take what is not ignored: what is there for `COPY`."""
        self._context = self._folder / "context"
        for path in sent(context, patterns):
            target = self._context / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(context / path, target)

    def step(self, name: str, value: str) -> None:
        """Carry out one instruction; one that is not known here is an error."""
        image = self.image
        match name:
            case "ARG":
                key, _, default = value.partition("=")
                self._arguments[key] = default
            case "FROM":
                self._begin(*shlex.split(value))
            case "ENV":
                image.environ |= dict(part.split("=", 1) for part in shlex.split(value))
            case "WORKDIR":
                image.folder = os.path.join(image.folder, value)
                image.inside(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(*shlex.split(value))
            case "RUN":
                self._run(value)
            case "USER":
                user, _, group = value.partition(":")
                image.user = int(user), int(group)
            case "VOLUME":
                image.volumes += json.loads(value)
            case "EXPOSE":
                image.ports.append(int(value))
            case "CMD":
                image.command = json.loads(value)
            case _:
                raise AssertionError(f"{name} is not known here")

    def _begin(self, base: str, *named: str) -> None:
        base = re.sub(r"\$\{(\w+)\}", lambda found: self._arguments[found[1]], base)
        assert base.startswith("python:"), f"this machine is no {base}"
        self.image = Image(self._folder / f"stage{len(self._stages)}")
        self.image.root.mkdir()
        self._stages[named[1] if named else str(len(self._stages))] = self.image

    def _copy(self, *words: str) -> None:
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        assert set(options) <= {"from"}, f"COPY {options} is not known here"
        for source in sources:
            found = self._stages[options["from"]].inside(source) if options else self._context / source
            if found.is_dir():
                shutil.copytree(found, self.image.inside(target), symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(found, self.image.inside(target))

    def _run(self, command: str) -> None:
        clients = {name: value for name, value in os.environ.items() if _CLIENTS.fullmatch(name)}
        caches = {"UV_CACHE_DIR": f"{_CACHE}/uv", "PIP_CACHE_DIR": f"{_CACHE}/pip"}
        step = replace(
            self.image.container(),
            command=["/bin/sh", "-c", command],
            environ={**clients, **self.image.environ, **caches},
            volumes={_CACHE: self._cache},
            building=True,
        )
        run(step)


def sent(context: Path, patterns: list[str]) -> Iterator[Path]:
    """Return the files of the context that are sent: the last pattern that fits decides (.dockerignore)."""
    for folder, folders, files in os.walk(context):
        here = Path(folder).relative_to(context)
        # A folder is looked into where a pattern names it or something in it.
        folders[:] = [each for each in folders if _is_sent(here / each, patterns)]
        yield from (here / each for each in files if _is_sent(here / each, patterns))


def _is_sent(path: Path, patterns: list[str]) -> bool:
    sent = True
    for pattern in patterns:
        name = pattern.removeprefix("!").removeprefix("**/")
        places = [path, *path.parents][:-1]
        if any(fnmatch(each.name if "**/" in pattern else str(each), name) for each in places):
            sent = pattern.startswith("!")
    return sent
