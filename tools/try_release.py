#!/usr/bin/env python3
"""Uses a release as a user would: fetches the base binary, builds all-MiniLM-L6-v2 on it, compares the answers.

    python3 tools/try_release.py --cli ./encoderfile
    python3 tools/try_release.py --cli ./encoderfile --source dist --trusted-key keys/encoderfile.pub

Without `--source` and `--trusted-key` it is the published release of the command line's version that is tried. Needs no
Rust. The model and what is built on it land under the build directory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import quickstart
import with_requirements
from console import Console, Failure
from quickstart import Quickstart
from toolchain import Toolchain
from walkthrough import carry_out, parser


class Trial(Quickstart):
    """The quickstart's last steps, with a command line that somebody else has built."""

    def __init__(self, console: Console, toolchain: Toolchain, options: argparse.Namespace):
        super().__init__(console, toolchain)
        self.command_line = options.cli.resolve()
        self.flags = ["--cache-dir", str(self.cache)]
        # Whose releases these are, in a fork.
        if repository := os.environ.get("ENCODERFILE_GITHUB_REPO"):
            self.environment["ENCODERFILE_GITHUB_REPO"] = repository
        for source in options.source:
            # What is a path is one from here, not from where commands are run.
            self.flags += ["--source", source if "://" in source else str(Path(source).resolve())]
        for key in options.trusted_key:
            self.flags += ["--trusted-key", str(Path(key).resolve()) if Path(key).is_file() else key]

    def build_on_it(self) -> None:
        """An empty cache, the base binary from the source, and then no network any more."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.run(self.command_line, "base", "fetch", *self.flags)
        written = ["--name", quickstart.MODEL_NAME, "-o", str(self.result)]
        self.run(self.command_line, "build", self.model, *written, "--no-download", *self.flags)
        self.run(self.command_line, "verify", self.result, *self.flags)


def inspect_release(options: argparse.Namespace) -> Toolchain:
    """The command line that somebody else has built, and where files go. There need be no compiler."""
    line = [str(options.cli), "--version"]
    try:
        run = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Failure(f"`{options.cli}` cannot be started: {error.strerror}") from error
    if run.returncode != 0:
        raise Failure(f"`{' '.join(line)}` failed\n{run.stderr.strip()}")
    host = f"{platform.machine()} {platform.system()}"
    return Toolchain(host, run.stdout.split()[1], with_requirements.build_directory())


def try_release(console: Console, toolchain: Toolchain, options: argparse.Namespace) -> None:
    """All steps, then what they have shown."""
    trial = Trial(console, toolchain, options)
    with console.step("install the converter's Python packages"):
        python = trial.install_packages()
    with console.step(f"make the model folder of {quickstart.MODEL_NAME}"):
        trial.make_model(python)
    with console.step("fetch the base binary, build on it, verify the file"):
        trial.build_on_it()
    with console.step("run it on the model card's two sentences"):
        found = trial.infer()
    reference = json.loads(trial.reference.read_text(encoding="utf-8"))["results"]
    quickstart.compare(console, found, [result["embedding"] for result in reference])


def main() -> int:
    """Runs the steps; what goes wrong is told as by the quickstart."""
    arguments = parser(__doc__)
    arguments.add_argument("--cli", type=Path, required=True, help="the command line `encoderfile`")
    arguments.add_argument("--source", action="append", default=[], help="as for `encoderfile base fetch`")
    arguments.add_argument("--trusted-key", action="append", default=[], help="as for `encoderfile base fetch`")
    options = arguments.parse_args()
    os.environ.setdefault("PYTHONUTF8", "1")

    def steps(console: Console, toolchain: Toolchain) -> None:
        try_release(console, toolchain, options)

    return carry_out("trial", steps, lambda: inspect_release(options))


if __name__ == "__main__":
    sys.exit(main())
