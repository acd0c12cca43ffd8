"""What the scripts of this folder show: one line a step, and of a step that fails the end of its log."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from with_requirements import REPOSITORY

WIDTH = 80
LOG_LINES_SHOWN = 25


UNAVAILABLE = 3
"""The exit code of scripts that this machine lacks something for."""


class Failure(Exception):
    """Something went wrong; the message says what, and on a line with `hint:` what to do."""


class Unavailable(Exception):
    """This machine lacks something; the message says what."""


class Console:
    """Prints one line a step, which on a terminal shows that something happens."""

    def __init__(self, work: Path):
        self.work = work
        """Where everything that the script makes goes, apart from what cargo builds."""
        self.log_path = work / f"{work.name}.log"
        self.log = self.log_path.open("w", encoding="utf-8", errors="replace")
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.live and not os.environ.get("NO_COLOR")
        self.steps = 0
        self.failed = False
        self.skipped: list[str] = []
        self.step_began_at = 0  # in the log

    def styled(self, text: str, code: str) -> str:
        """`text` in an ANSI style, or as it is."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def bold(self, text: str) -> str:
        """A heading."""
        return self.styled(text, "1")

    def say(self, text: str = "") -> None:
        """A line."""
        print(text, flush=True)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A numbered step; its time follows when it is done."""
        self.steps += 1
        self.log.write(f"\n== {title}\n")
        self.log.flush()
        self.step_began_at = self.log_path.stat().st_size
        heading = f"{self.steps:>2}  {title} "
        print(heading, end="", flush=True)
        began = time.monotonic()
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(heading, began, done), daemon=True)
        if self.live:
            ticker.start()
        try:
            yield
        except BaseException:
            self.failed = True
            self._finish(ticker, done)
            print(self.styled("failed", "31") if self.live else "failed", flush=True)
            raise
        self._finish(ticker, done)
        seconds = f" {time.monotonic() - began:.1f} s"
        if self.live:
            print(f"\r\x1b[K{heading}", end="")
        dots = "." * (WIDTH - len(heading) - len(seconds))
        print(self.styled(dots, "2") + seconds, flush=True)

    def run(self, *command: str | Path, environment: dict[str, str]) -> str:
        """Runs a command in the repository and returns its standard output; its standard error goes to the log."""
        line = [str(part) for part in command]
        self.log.write(f"$ {' '.join(line)}\n")
        self.log.flush()
        process = subprocess.Popen(
            line,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        self.log.write(output if len(output) < 4096 else output[:4096] + "…\n")
        self.log.flush()
        if process.returncode == UNAVAILABLE and line[0].startswith(str(REPOSITORY)):
            raise Unavailable(self.step_log().rstrip().split("\n")[-1])
        if process.returncode != 0:
            how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
            raise Failure(f"`{Path(line[0]).name} {' '.join(line[1:3])} …` failed ({how})")
        return output

    @contextlib.contextmanager
    def optional(self, title: str) -> Iterator[None]:
        """A part of a step that is skipped, and told of at the end, where this machine lacks something for it."""
        try:
            yield
        except Unavailable as reason:
            self.log.write(f"skipped: {title}: {reason}\n")
            self.skipped.append(f"{title}: {reason}")

    def show_skipped(self) -> None:
        """Says what was left out, and why."""
        for reason in self.skipped:
            self.say(f"{self.styled('skipped', '33')}: {reason}")

    def _finish(self, ticker: threading.Thread, done: threading.Event) -> None:
        done.set()
        if ticker.is_alive():
            ticker.join()

    def _tick(self, heading: str, began: float, done: threading.Event) -> None:
        """Behind the heading: the seconds so far, and the last word of what is running."""
        while not done.wait(0.2):
            lines = self.step_log().split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            text = f"{time.monotonic() - began:.0f} s  {last}"
            width = shutil.get_terminal_size().columns - len(heading) - 1
            print(f"\r\x1b[K{heading}{self.styled(text[: max(width, 0)], '2')}", end="", flush=True)
        print(f"\r\x1b[K{heading}", end="", flush=True)

    def step_log(self) -> str:
        """The end of what the current step has written to the log."""
        with self.log_path.open("rb") as file:
            file.seek(max(self.step_began_at, self.log_path.stat().st_size - 65536))
            return file.read().decode("utf-8", "replace").replace("\r", "\n")

    def show_failed_step(self) -> None:
        """Prints the end of its log, if there is one, and where all of it is."""
        if not self.failed:
            return
        lines = self.step_log().rstrip().split("\n")[-LOG_LINES_SHOWN:]
        print("", *(f"  | {line[:200]}" for line in lines if line), sep="\n", file=sys.stderr)
        print(f"  (all of it: {shown(self.log_path)})\n", file=sys.stderr)


def shown(path: Path) -> str:
    """A path as one would type it here."""
    relative = os.path.relpath(path)
    if relative.startswith(os.path.join("..", "..")):
        return shlex.quote(str(path))
    return shlex.quote(relative if os.sep in relative else os.path.join(".", relative))
