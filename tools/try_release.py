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
import shutil
import sys
from pathlib import Path

import quickstart
import with_requirements
from quickstart import PUBLISHED, Console, Failure, Quickstart, Toolchain


class Trial(Quickstart):
    """The quickstart's last steps, with a command line that somebody else has built."""

    def __init__(self, console: Console, toolchain: Toolchain, options: argparse.Namespace):
        super().__init__(console, toolchain)
        self.command_line = options.cli.resolve()
        self.flags = ["--cache-dir", str(self.cache)]
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
    console.say(f"file: {trial.result}")


def main() -> int:
    """Runs the steps; what goes wrong is told as by the quickstart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", type=Path, required=True, help="the command line `encoderfile`")
    parser.add_argument("--source", action="append", default=[], help="as for `encoderfile base fetch`")
    parser.add_argument("--trusted-key", action="append", default=[], help="as for `encoderfile base fetch`")
    options = parser.parse_args()
    os.environ.setdefault("PYTHONUTF8", "1")
    toolchain = Toolchain("", "", with_requirements.build_directory() / "trial")
    console = None
    try:
        with with_requirements.exclusive(toolchain.work / "lock", "another trial in this build directory"):
            console = Console(toolchain.work / "trial.log")
            try_release(console, toolchain, options)
    except Failure as failure:
        if console is not None and console.failed:
            print(console.step_log().rstrip()[-4000:], file=sys.stderr)
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
