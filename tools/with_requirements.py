#!/usr/bin/env python3
"""Runs a Python script with the packages of tools/requirements.txt, which nobody has to install.

    python3 tools/with_requirements.py [--requirements FILE] SCRIPT [ARGUMENT...]

The packages go into a virtual environment under the build directory, made on the first call and whenever
requirements.txt, or the file that is named, changes. Needs only the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / "tools" / "requirements.txt"
OLDEST_PYTHON = (3, 10)  # what the pinned packages have wheels for
NEWEST_PYTHON = (3, 14)


class EnvironmentFailure(Exception):
    """The environment cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Environment:
    """How to start a Python that has the packages."""

    python: str
    variables: dict[str, str]

    def command(self, *arguments: str | Path) -> list[str]:
        """A command line for a script and its arguments."""
        return [self.python, *map(str, arguments)]


def build_directory() -> Path:
    """Where cargo puts what it builds, as far as it can be known without asking cargo."""
    return (REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()


@contextlib.contextmanager
def exclusive(lock: Path, holder: str) -> Iterator[None]:
    """Holds an advisory lock, which the system drops if the process dies; `holder` is whom a waiter waits for."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {holder} ({lock})", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare(
    directory: Path | None = None, log: IO[str] | None = None, requirements: Path = REQUIREMENTS
) -> Environment:
    """Makes the environment unless it is there; what pip says goes to `log`, or to standard error."""
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        supported = " to ".join(".".join(map(str, version)) for version in (OLDEST_PYTHON, NEWEST_PYTHON))
        raise EnvironmentFailure(
            f"Python {platform.python_version()} has no wheels of the pinned packages\n"
            f"hint: run this with Python {supported}"
        )
    directory = directory or build_directory() / "python"
    with exclusive(directory.with_suffix(".lock"), "another process that installs Python packages"):
        return _prepare_locked(directory, log, requirements)


def _prepare_locked(directory: Path, log: IO[str] | None, requirements: Path) -> Environment:
    # The stamp is written last: an environment that was interrupted has none and is made anew.
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode() + sys.executable.encode()).hexdigest()
    stamp = directory / "made-from"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        shutil.rmtree(directory, ignore_errors=True)
        install = ["--disable-pip-version-check", "install", "--no-input", "--only-binary", ":all:"]
        install += ["--no-deps", "-r", str(requirements)]
        if log is None:
            install.append("--quiet")
            print(f"installing the packages of {requirements.name} into {directory}", file=sys.stderr)
        if _run([sys.executable, "-m", "venv", str(directory)], log):
            _require([str(directory / "bin" / "python"), "-m", "pip", *install], log)
        else:
            # Debian splits ensurepip off into python3-venv, while pip itself may well be there.
            shutil.rmtree(directory, ignore_errors=True)
            if not _run([sys.executable, "-m", "pip", "--version"], log):
                raise EnvironmentFailure(
                    f"{sys.executable} has neither a working `venv` nor `pip`\n"
                    "hint: install them (Debian and Ubuntu: `apt install python3-venv python3-pip`)"
                )
            _require([sys.executable, "-m", "pip", *install, "--target", str(directory / "packages")], log)
        stamp.write_text(wanted)

    packages = directory / "packages"
    if packages.is_dir():
        return Environment(sys.executable, {"PYTHONPATH": str(packages)})
    return Environment(str(directory / "bin" / "python"), {})


def _run(command: list[str], log: IO[str] | None) -> bool:
    out = log or sys.stderr
    out.flush()
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT).returncode == 0


def _require(command: list[str], log: IO[str] | None) -> None:
    if not _run(command, log):
        raise EnvironmentFailure(
            "pip could not install the packages that are required\n"
            "hint: pip's own message is above; behind a proxy or mirror, set `PIP_INDEX_URL` or `HTTPS_PROXY`"
        )


def main() -> None:
    """Prepares the environment and becomes the script."""
    arguments, requirements, directory = sys.argv[1:], REQUIREMENTS, None
    if len(arguments) > 1 and arguments[0] == "--requirements":
        requirements = Path(arguments[1]).resolve()
        directory = build_directory() / f"python-{requirements.stem}"
        arguments = arguments[2:]
    if not arguments or arguments[0].startswith("-"):
        sys.exit(__doc__.strip())
    try:
        environment = prepare(directory, requirements=requirements)
    except EnvironmentFailure as failure:
        sys.exit(f"error: {failure}")
    command = environment.command(*arguments)
    os.execve(command[0], command, {**os.environ, **environment.variables})


if __name__ == "__main__":
    main()
