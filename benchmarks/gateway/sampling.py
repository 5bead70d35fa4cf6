"""Look again and again at which of a server's Python functions runs: no call becomes dearer by that, as in cProfile."""

import json
import re
import signal
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

BEGIN, END = signal.SIGUSR1, signal.SIGUSR2
"""What the process is told by."""

HERE = re.compile(r".*/(?:site-packages|src|lib/python[\d.]+)/")
APART = 0.001
"""Seconds between two looks."""


class Sampler:
    """Take samples from one signal to the other, and write them down.

    The file has JSON: how many samples, and for each function how often it was the one that ran (with the C functions
    that it calls), and how often it or what it calls.
    """

    def __init__(self, path: str) -> None:
        """Wait for the signals."""
        self._path = Path(path)
        self._taken = 0
        self._own: Counter[CodeType] = Counter()
        self._whole: Counter[CodeType] = Counter()
        signal.signal(BEGIN, self._begin)
        signal.signal(END, self._end)

    def _begin(self, *_: object) -> None:
        signal.signal(signal.SIGALRM, self._take)
        signal.setitimer(signal.ITIMER_REAL, APART, APART)

    def _take(self, _signal: int, frame: FrameType | None) -> None:
        if frame is None or frame.f_code.co_filename == __file__:
            return
        self._taken += 1
        self._own[frame.f_code] += 1
        stack = set()
        while frame is not None:
            stack.add(frame.f_code)
            frame = frame.f_back
        self._whole.update(stack)

    def _end(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        functions = {_named(code): [self._own[code], whole] for code, whole in self._whole.items()}
        self._path.write_text(json.dumps({"taken": self._taken, "functions": functions}))


def _named(code: CodeType) -> str:
    file = HERE.sub("", code.co_filename)
    return f"{file}:{code.co_firstlineno} {code.co_qualname}"
