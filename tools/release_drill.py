#!/usr/bin/env python3
"""The release drill: makes a release as the workflow does, publishes it, and uses it as a user would.

    python3 tools/release_drill.py

Builds base binary and command line by release/build.sh for this machine and, where Debian's cross compilers can be had,
for aarch64 Linux; checks, packs, indexes, signs (with a throw-away key) and verifies them; publishes them to a server of
GitHub's shape on loopback; lists and fetches them from there, builds encoderfiles with them, and compares the answers with
the expected ones. Then the published executables run in root file systems that hold a C library and nothing else. What
this machine cannot do is skipped, and said.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import debian_root
from console import Console, Failure
from toolchain import Toolchain, child_environment
from walkthrough import carry_out, parser
from with_requirements import REPOSITORY

REPOSITORY_NAME = "example/encoderfile"
TOKEN = "drill-token"
MODEL = REPOSITORY / "testing" / "models" / "sentence_embedding"
TOLERANCE = 1e-4
CROSS = "aarch64-unknown-linux-gnu"
LINUX = "x86_64-unknown-linux-gnu"
# Debian's releases with the C library that is promised, and the oldest that can be had.
SUITES = {"bookworm": "2.36", "bullseye": "2.31"}
# What ONNX Runtime needs, and with it every base binary.
LIBRARIES = ["libc6", "libgcc-s1", "libstdc++6"]
# Debian's name for the processor of this machine.
ARCHITECTURES = {LINUX: "amd64", "aarch64-unknown-linux-gnu": "arm64"}


@dataclass(frozen=True)
class GitHub:
    """A server of GitHub's shape, and what its users have in their environment."""

    environment: dict[str, str]
    token: dict[str, str]


class Drill:
    """The steps, in order; each leaves files that the next ones use."""

    def __init__(self, console: Console, toolchain: Toolchain):
        self.console = console
        self.toolchain = toolchain
        self.environment = child_environment()
        # Settings for the real GitHub are of no use here, and a real token even less.
        for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_SERVER_URL", "GITHUB_API_URL"):
            self.environment.pop(name, None)
        # As in the workflow: the time of the commit, whatever the clock says.
        self.environment["SOURCE_DATE_EPOCH"] = self.run("git", "log", "-1", "--format=%ct").strip()
        self.tag = f"v{toolchain.version}"
        self.tools = toolchain.target_directory / "debug"
        self.built = console.work / "built"
        self.release = console.work / "dist" / self.tag
        self.keys = console.work / "keys"
        self.cache = console.work / "cache"
        self.results = console.work / "encoderfiles"
        self.emulator: list[str] = []
        self.notes: list[str] = []

    def run(self, *command: str | Path, **variables: str) -> str:
        """Runs a command in the drill's own environment and returns its standard output."""
        return self.console.run(*command, environment={**self.environment, **variables})

    def tool(self, *arguments: str | Path, **variables: str) -> str:
        """The maintainers' tool."""
        return self.run(self.tools / "encoderfile-release", *arguments, **variables)

    def command_line(self, github: GitHub, *arguments: str | Path) -> str:
        """The command line that is being released, as a user runs it who knows the key."""
        program = self.built / self.toolchain.host / "encoderfile"
        trust = ["--trusted-key", self.keys / "encoderfile.pub", "--cache-dir", self.cache]
        return self.run(program, *arguments, *trust, **github.environment)

    def build_tools(self) -> None:
        """The maintainers' tool, and the server that takes GitHub's place."""
        # One by one, and not optimised: as the tests build them, who need not do so twice then.
        for package, program in [
            ("encoderfile-release", "encoderfile-release"),
            ("encoderfile-testing", "github-server"),
        ]:
            self.run("cargo", "build", "--locked", "--package", package, "--bin", program)

    def build(self) -> list[str]:
        """Base binary and command line of all targets that can be built here, which are returned."""
        host = self.toolchain.host
        rust = (REPOSITORY / "release" / "rust-version").read_text().strip()
        is_pinned = self.run("rustc", "--version").startswith(f"rustc {rust} ")
        # Another Rust is as good for a drill.
        any_rust = [] if is_pinned else ["--any-rust"]
        self.run(REPOSITORY / "release" / "build.sh", "--target", host, *any_rust, "--out", self.built / host)
        if host != LINUX:
            return [host]
        with self.console.optional("cross-build for aarch64 Linux"):
            emulated = self.run(REPOSITORY / "release" / "aarch64.sh", self.built / CROSS)
            # The command that runs the base binary: what is before it runs anything else.
            self.emulator = emulated.split()[:-1]
            return [host, CROSS]
        return [host]

    def programs(self, target: str) -> dict[str, Path]:
        """What was built for a target, by the option of `pack` that takes it."""
        files = {"--runtime": "encoderfile-runtime", "--cli": "encoderfile"}
        programs = {option: self.built / target / name for option, name in files.items()}
        return {option: path for option, path in programs.items() if path.is_file()}

    def check(self, targets: list[str]) -> dict[str, Any]:
        """What is found out of every executable before it is packed."""
        facts = {}
        for target in targets:
            for path in self.programs(target).values():
                facts[f"{path.name} for {target}"] = json.loads(self.tool("check", path, "--target", target))
        return facts

    def pack(self, targets: list[str]) -> None:
        """The release's folder: archives, index, signatures, and everything proven again from them alone."""
        shutil.rmtree(self.release.parent, ignore_errors=True)
        for target in targets:
            programs = [part for option in self.programs(target).items() for part in option]
            # Where build.sh builds, and has put what ONNX Runtime's licence wants to be passed on.
            directory = str(self.toolchain.target_directory / "release-build")
            self.tool("pack", "--target", target, *programs, "--out", self.release, CARGO_TARGET_DIR=directory)
        self.tool("index", "--version", self.toolchain.version, self.release)
        if not self.keys.is_dir():
            self.tool("keygen", "--out", self.keys)
        self.tool("sign", self.release, "--key", self.keys / "encoderfile.key")
        self.tool("verify", self.release, "--trusted-key", self.keys / "encoderfile.pub")

    def prove(self) -> None:
        """What each job of the workflow does with what it has built."""
        self.run(
            REPOSITORY / "release" / "prove.sh",
            self.release,
            ENCODERFILE_RELEASE=str(self.tools / "encoderfile-release"),
        )

    @contextlib.contextmanager
    def github(self) -> Iterator[GitHub]:
        """GitHub, on loopback, without any release."""
        directory = self.console.work / "github"
        shutil.rmtree(directory, ignore_errors=True)
        server = subprocess.Popen(
            [self.tools / "github-server", directory, REPOSITORY_NAME, TOKEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.console.log,
            text=True,
        )
        assert server.stdin is not None and server.stdout is not None
        try:
            addresses = json.loads(server.stdout.readline())
            urls = {name: addresses[name] for name in ("GITHUB_SERVER_URL", "GITHUB_API_URL")}
            yield GitHub({**urls, "ENCODERFILE_GITHUB_REPO": REPOSITORY_NAME}, {**urls, "GITHUB_TOKEN": TOKEN})
        finally:
            server.stdin.close()
            server.wait()

    def publish(self, github: GitHub) -> str:
        """Publishes, and does so once more, which must find nothing to do."""
        commit = self.run("git", "rev-parse", "HEAD").strip()
        command: list[str | Path] = ["publish", self.release, "--repo", REPOSITORY_NAME, "--target-commitish", commit]
        # Nobody can build for all targets on one machine.
        command += ["--trusted-key", self.keys / "encoderfile.pub", "--allow-missing-targets"]
        url = self.tool(*command, **github.token)
        if self.tool(*command, **github.token) != url:
            raise Failure("publishing again does not say the same")
        # All that is there by now, the SBOMs too, is what was signed.
        published = self.console.work / "github" / self.tag
        self.tool("verify", published, "--trusted-key", self.keys / "encoderfile.pub")
        return url.strip()

    def fetch(self, github: GitHub, targets: list[str]) -> None:
        """What is there is seen and fetched, into an empty cache."""
        shutil.rmtree(self.cache, ignore_errors=True)
        listed = self.command_line(github, "base", "list", "--remote", "--json")
        if self.toolchain.version not in listed:
            raise Failure(f"`base list --remote` does not list {self.toolchain.version}")
        wanted = [part for target in targets for part in ("--target", target)]
        self.command_line(github, "base", "fetch", *wanted)
        self.command_line(github, "base", "verify")

    def build_encoderfiles(self, github: GitHub, targets: list[str]) -> None:
        """One encoderfile a target, without a network."""
        shutil.rmtree(self.results, ignore_errors=True)
        self.results.mkdir()
        for target in targets:
            written = ["--target", target, "-o", self.results / target, "--no-download"]
            self.command_line(github, "build", MODEL, *written)
            self.command_line(github, "verify", self.results / target)

    def answers(self, *command: str | Path) -> list[list[float]]:
        """The embeddings of the reference's texts by an encoderfile that `command` runs."""
        output = self.run(*command, "infer", *REFERENCE["inputs"])
        return [result["embedding"] for result in json.loads(output)["results"]]

    def compare(self, name: str, found: list[list[float]], expected: list[list[float]]) -> None:
        """Fails where two lists of embeddings differ."""
        if [len(vector) for vector in found] != [len(vector) for vector in expected]:
            raise Failure(f"{name}: the embeddings have other shapes than expected")
        pairs = [pair for vectors in zip(found, expected) for pair in zip(*vectors)]
        difference = max(abs(left - right) for left, right in pairs)
        self.notes.append(f"{name}, largest difference of {len(pairs)} values: {difference:.1e}")
        # Not `>`, which is false for what is not a number.
        if not difference <= TOLERANCE:
            raise Failure(f"{name}: the embeddings differ by {difference:.1e}, more than {TOLERANCE:.0e}")

    def infer(self, targets: list[str]) -> None:
        """The answers are those of Python's onnxruntime, and on both processors the same."""
        host = self.toolchain.host
        ours = self.answers(self.results / host)
        self.compare(f"{host} and Python", ours, [result["embedding"] for result in REFERENCE["results"]])
        if CROSS in targets:
            self.compare(f"{CROSS} and {host}", self.answers(*self.emulator, self.results / CROSS), ours)

    def run_bare(self, suite: str, glibc: str) -> None:
        """The published executables in a root file system without anything that they could lean on."""
        host = self.toolchain.host
        root = self.console.work / "roots" / suite
        debian_root.make(suite, ARCHITECTURES[host], root, LIBRARIES)
        for name, file in [("encoderfile", self.built / host / "encoderfile"), ("model", self.results / host)]:
            shutil.copy2(file, root / name)
        shutil.copy2(self.built / host / "encoderfile-runtime", root / "encoderfile-runtime")
        shutil.copytree(MODEL, root / "my-model", dirs_exist_ok=True)
        inside = [sys.executable, REPOSITORY / "tools" / "debian_root.py", "run", root]
        if not self.run(*inside, "/encoderfile", "--version").startswith("encoderfile "):
            raise Failure(f"the command line does not start in Debian {suite}")
        written = ["--base-binary-path", "/encoderfile-runtime", "-o", "/built"]
        self.run(*inside, "/encoderfile", "build", "/my-model", *written)
        if (root / "built").read_bytes()[-32:-24] != b"ENCFILE\0":
            raise Failure(f"`build` in Debian {suite} wrote no encoderfile")
        expected = [result["embedding"] for result in REFERENCE["results"]]
        self.compare(f"alone with glibc {glibc} ({suite})", self.answers(*inside, "/built"), expected)


REFERENCE = json.loads((MODEL / "reference.json").read_text(encoding="utf-8"))


def walk_through(console: Console, toolchain: Toolchain) -> None:
    """All steps, then what they have shown."""
    drill = Drill(console, toolchain)
    with console.step("build the maintainers' tool and a GitHub of its own"):
        drill.build_tools()
    with console.step("build base binaries and command lines (minutes)"):
        targets = drill.build()
    with console.step("check every executable"):
        facts = drill.check(targets)
    with console.step("pack, index, sign and verify the release"):
        drill.pack(targets)
    with console.step("prove the archives of this machine, as before signing"):
        drill.prove()
    with drill.github() as github:
        with console.step("publish it, twice"):
            url = drill.publish(github)
        with console.step("list, fetch and verify it as a user"):
            drill.fetch(github, targets)
        with console.step("build an encoderfile for each target, offline"):
            drill.build_encoderfiles(github, targets)
    with console.step("run them and compare their answers"):
        drill.infer(targets)
    if toolchain.host in ARCHITECTURES:
        for suite, glibc in SUITES.items():
            with console.step(f"alone with glibc {glibc}, libgcc and libstdc++"):
                with console.optional(f"Debian {suite}"):
                    drill.run_bare(suite, glibc)
    show(console, drill, facts, url)


def show(console: Console, drill: Drill, facts: dict[str, Any], url: str) -> None:
    """What was made and what was shown."""
    console.say()
    for name, found in facts.items():
        for part in found["parts"]:
            for system, version in (part["floor"] or {}).items():
                why = ", ".join(part["floor_symbols"][:3])
                console.say(f"{name}: the {part['kind']} needs {system} {version} ({why})")
    for archive in sorted(drill.release.glob("*.tar.zst")):
        console.say(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB")
    for note in drill.notes:
        console.say(note)
    console.say(f"published as {url}")
    console.show_skipped()


if __name__ == "__main__":
    parser(__doc__).parse_args()
    sys.exit(carry_out("drill", walk_through))
