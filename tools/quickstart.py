#!/usr/bin/env python3
"""From a fresh clone to one file that answers: builds everything, releases it to itself, and tries it on a real model.

    python3 tools/quickstart.py

Needs Rust, a C compiler, and Python 3 with pip. What is built, downloaded and made lands under the build directory
(`target`, or CARGO_TARGET_DIR). Running it again is quick.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import with_requirements
from console import Console, Failure, shown
from toolchain import Toolchain, child_environment
from walkthrough import carry_out, parser
from with_requirements import REPOSITORY, Environment

MODEL_NAME = "all-MiniLM-L6-v2"
# As the model card of sentence-transformers/all-MiniLM-L6-v2 has them: the first six of 384 values.
PUBLISHED = {
    "This is an example sentence": [0.0676569, 0.0634959, 0.0487131, 0.0793050, 0.0374480, 0.0026528],
    "Each sentence is converted": [0.0864386, 0.1027626, 0.0053945, 0.0020444, -0.0099634, 0.0253855],
}
PUBLISHED_TOLERANCE = 1e-4
REFERENCE_TOLERANCE = 1e-5


class Quickstart:
    """The steps, in order; each leaves files that the next ones use."""

    def __init__(self, console: Console, toolchain: Toolchain):
        self.console = console
        self.toolchain = toolchain
        self.environment = child_environment()
        work = console.work
        self.key_directory = work / "key"
        self.secret_key = self.key_directory / "encoderfile.key"
        self.public_key = self.key_directory / "encoderfile.pub"
        self.releases = work / "dist"
        self.cache = work / "cache"
        self.model = work / "model" / "sentence_embedding"
        self.reference = work / "model" / "reference.json"
        self.result = work / "minilm.encoderfile"

    def run(self, *command: str | Path, **variables: str) -> str:
        """Runs a command in the quickstart's own environment and returns its standard output."""
        return self.console.run(*command, environment={**self.environment, **variables})

    def trusting(self) -> list[str | Path]:
        """The flags by which the command line knows the throw-away key and the fresh cache."""
        return ["--trusted-key", self.public_key, "--cache-dir", self.cache]

    def install_packages(self) -> Environment:
        """The Python packages of the model's converter; first, because pip is needed by the build too."""
        try:
            return with_requirements.prepare(self.toolchain.target_directory / "python", self.console.log)
        except with_requirements.EnvironmentFailure as failure:
            raise Failure(str(failure)) from failure

    def build_workspace(self, python: Environment) -> None:
        """The three executables; the base binary's build fetches ONNX Runtime with pip."""
        packages = ["encoderfile", "encoderfile-runtime", "encoderfile-release"]
        flags = [flag for package in packages for flag in ("-p", package)]
        # A virtual environment has pip even where the system's Python has none.
        path = os.pathsep.join([str(Path(python.python).parent), self.environment.get("PATH", os.defpath)])
        self.run("cargo", "build", "--release", "--locked", *flags, PATH=path)

    def make_key(self) -> None:
        """A key pair for this checkout's own releases."""
        if not (self.secret_key.is_file() and self.public_key.is_file()):
            shutil.rmtree(self.key_directory, ignore_errors=True)
            self.run(self.toolchain.executable("encoderfile-release"), "keygen", "--out", self.key_directory)

    def make_release(self) -> None:
        """A signed release for this host, laid out as a published one; made again when what it holds has changed."""
        names = ("encoderfile-release", "encoderfile", "encoderfile-runtime")
        tool, command_line, runtime = (self.toolchain.executable(name) for name in names)
        lock = REPOSITORY / "Cargo.lock"  # the dependencies, whose licences are packed too
        wanted = digest([tool, command_line, runtime, self.secret_key, lock])
        stamp = self.releases / "made-from"  # written last
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        shutil.rmtree(self.releases, ignore_errors=True)
        release = self.releases / f"v{self.toolchain.version}"
        packed = ["--runtime", str(runtime), "--cli", str(command_line), "--out", str(release)]
        self.run(tool, "pack", "--target", self.toolchain.host, *packed)
        self.run(tool, "index", "--version", self.toolchain.version, release)
        self.run(tool, "sign", release, "--key", self.secret_key)
        stamp.write_text(wanted)

    def serve(self) -> http.server.ThreadingHTTPServer:
        """A web server on a free port of the loopback interface; it ends with this process."""
        console = self.console

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                console.log.write(f"server: {format % args}\n")

        handler = functools.partial(Handler, directory=str(self.releases))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def fetch(self, source: str) -> None:
        """The base binary, downloaded and verified into an empty cache."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.run(self.toolchain.executable("encoderfile"), "base", "fetch", "--source", source, *self.trusting())

    def make_model(self, python: Environment) -> None:
        """The model folder; made again when what makes it has changed."""
        tools = REPOSITORY / "tools"
        names = ("minilm.py", "bert_onnx.py", "reference.py", "requirements.txt")
        wanted = digest([tools / name for name in names])
        stamp = self.model.parent / "made-from"  # written last
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        shutil.rmtree(self.model.parent, ignore_errors=True)
        only = ["--task", "sentence_embedding", "--reference", str(self.reference)]
        self.run(*python.command(tools / "minilm.py", self.model.parent, *only), **python.variables)
        stamp.write_text(wanted)

    def build_encoderfile(self) -> None:
        """Model and cached base binary become one file, without a network."""
        command_line = self.toolchain.executable("encoderfile")
        written = ["--name", MODEL_NAME, "-o", str(self.result)]
        self.run(command_line, "build", self.model, *written, "--no-download", *self.trusting())

    def infer(self) -> list[list[float]]:
        """The file's embeddings of the model card's sentences: 2 x 384 values."""
        output = self.run(self.result, "infer", *PUBLISHED)
        try:
            return [result["embedding"] for result in json.loads(output)["results"]]
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(f"`infer` printed something else than embeddings: {output[:200]!r}") from error


def digest(files: list[Path]) -> str:
    """A SHA-256 over the files' own."""
    return hashlib.sha256("".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files).encode()).hexdigest()


def largest_difference(left: list[float], right: list[float]) -> float:
    """Between two vectors, of which the shorter one counts."""
    return max(abs(a - b) for a, b in zip(left, right))


def compare(console: Console, found: list[list[float]], reference: list[list[float]]) -> None:
    """Prints the values beside the published ones; fails where they are too far apart."""
    if [len(vector) for vector in found] != [len(vector) for vector in reference]:
        raise Failure(f"expected {len(reference)} embeddings of {len(reference[0])} values, got other shapes")

    def row(name: str, values: list[float]) -> str:
        return f"  {name:<12}" + "".join(f"{value:11.7f}" for value in values[:6])

    for (sentence, published), ours, python in zip(PUBLISHED.items(), found, reference):
        console.say()
        console.say(console.bold(f'"{sentence}"') + f", the first 6 of {len(ours)} values")
        console.say(row("published", published))
        console.say(row("this file", ours))
        console.say(row("Python", python))
    to_published = max(largest_difference(p, f) for p, f in zip(PUBLISHED.values(), found))
    to_python = max(largest_difference(r, f) for r, f in zip(reference, found))
    console.say()
    values = sum(map(len, found))
    rows = [
        ("largest difference to the published values", 12, to_published, PUBLISHED_TOLERANCE),
        ("largest difference to Python's onnxruntime", values, to_python, REFERENCE_TOLERANCE),
    ]
    wrong = []
    for title, count, difference, allowed in rows:
        good = difference < allowed
        verdict = console.styled("good", "32") if good else console.styled("too large", "31")
        console.say(f"{title}, {count:>3} values: {difference:.1e}  {verdict} (< {allowed:.0e})")
        if not good:
            wrong.append(title)
    if wrong:
        raise Failure("the file does not answer what the model should")


def walk_through(console: Console, toolchain: Toolchain) -> None:
    """All steps, then what they have shown."""
    run = Quickstart(console, toolchain)
    with console.step("install the converter's Python packages"):
        python = run.install_packages()
    with console.step("build the workspace (minutes, the first time)"):
        run.build_workspace(python)
    with console.step("make a throw-away signing key"):
        run.make_key()
    with console.step("pack, index and sign a release of the base binary"):
        run.make_release()
    with console.step("serve it over HTTP on loopback"):
        server = run.serve()
    with console.step("fetch the base binary into an empty cache"):
        run.fetch(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    with console.step("make the model folder of all-MiniLM-L6-v2"):
        run.make_model(python)
    began = time.monotonic()
    with console.step("build minilm.encoderfile, now offline"):
        run.build_encoderfile()
    built = time.monotonic()
    with console.step("run it on the model card's two sentences"):
        found = run.infer()
    answered = time.monotonic()

    reference = json.loads(run.reference.read_text(encoding="utf-8"))["results"]
    compare(console, found, [result["embedding"] for result in reference])
    megabytes = {
        path: path.stat().st_size / 1e6
        for path in (run.result, run.model / "model.onnx", toolchain.executable("encoderfile-runtime"))
    }
    file, model, runtime = megabytes.values()
    console.say()
    console.say(f"build {built - began:.2f} s, first answer {answered - built:.2f} s")
    console.say(f"{shown(run.result)}: {file:.1f} MB (model {model:.1f}, base binary {runtime:.1f})")
    console.say()
    console.say(console.bold("What to try next"))
    file_path, command_line = shown(run.result), shown(toolchain.executable("encoderfile"))
    for command in (
        f'{file_path} infer "a text of your own"',
        f"printf 'first line\\nsecond line\\n' | {file_path} infer --format jsonl",
        f"{command_line} inspect {file_path}",
        f"{command_line} verify {file_path}",
        f"{command_line} --help",
    ):
        console.say(f"  {command}")


if __name__ == "__main__":
    parser(__doc__).parse_args()
    sys.exit(carry_out("quickstart", walk_through))
