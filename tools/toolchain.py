"""What builds the workspace here: cargo, rustc and where they put things."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from console import Failure
from with_requirements import REPOSITORY


@dataclass(frozen=True)
class Toolchain:
    """What cargo and rustc say about themselves and this workspace."""

    host: str
    version: str
    target_directory: Path

    def executable(self, name: str) -> Path:
        """One of the workspace's executables."""
        return self.target_directory / "release" / name


def inspect_toolchain() -> Toolchain:
    """Fails early, with advice, where something is missing that a build would miss after minutes."""
    for tool in ("cargo", "rustc"):
        if shutil.which(tool) is None:
            raise Failure(f"`{tool}` is not on the PATH\nhint: install Rust from https://rustup.rs")
    compiler = os.environ.get("CC", "cc").split()[0]
    if shutil.which(compiler) is None:
        raise Failure(
            f"no C compiler: `{compiler}` is not on the PATH\n"
            "hint: Debian and Ubuntu: `apt install build-essential`, Fedora: `dnf install gcc`, "
            "macOS: `xcode-select --install`"
        )

    def output(*command: str) -> str:
        run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode != 0:
            raise Failure(f"`{' '.join(command)}` failed\n{run.stderr.strip()}")
        return run.stdout

    rustc = dict(line.split(": ", 1) for line in output("rustc", "-vV").splitlines() if ": " in line)
    metadata = json.loads(output("cargo", "metadata", "--no-deps", "--format-version", "1"))
    package = next(package for package in metadata["packages"] if package["name"] == "encoderfile")

    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split("-")[0].split(".")]

    needed = package["rust_version"]
    if needed and numbers(rustc["release"]) < numbers(needed):
        raise Failure(f"rustc {rustc['release']} is older than {needed}\nhint: `rustup update stable`")
    return Toolchain(rustc["host"], package["version"], Path(metadata["target_directory"]))


def child_environment() -> dict[str, str]:
    """The user's environment without what would lead a script's own cache and release astray."""
    kept = {"ENCODERFILE_ONNXRUNTIME_LIB"}  # which library to embed: a choice that holds here too
    variables = {k: v for k, v in os.environ.items() if k in kept or not k.startswith("ENCODERFILE_")}
    variables.pop("CARGO_BUILD_TARGET", None)  # executables are looked for in `release`, not in `<target>/release`
    for name in ("NO_PROXY", "no_proxy"):  # the local release is not behind the user's proxy
        variables[name] = ",".join(filter(None, [variables.get(name), "127.0.0.1"]))
    return variables
