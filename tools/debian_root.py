#!/usr/bin/env python3
"""Root file systems with nothing in them but the named Debian packages, to run what is built here as a bare machine would.

    python3 tools/debian_root.py make bullseye amd64 FOLDER libc6 libgcc-s1 libstdc++6
    python3 tools/debian_root.py run FOLDER /encoderfile --version

`make` fetches the packages with this machine's apt, from where its own packages come, without touching its package lists
and without being root; of what they depend on, nothing is unpacked that is not named. `run` changes the root to FOLDER in
name spaces of its own, with /proc as the only mount. Where either cannot be done, it says why and exits with 3.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from console import UNAVAILABLE, Unavailable

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def output(*command: str | Path) -> str:
    """What a command prints; its last words where it fails."""
    try:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable(f"there is no `{command[0]}`") from None
    if run.returncode != 0:
        errors = [line for line in run.stderr.splitlines() if line.startswith("E:")] or run.stderr.splitlines()
        raise Unavailable(f"`{command[0]}` failed: {errors[-1] if errors else f'exit code {run.returncode}'}")
    return run.stdout


def debian_mirror() -> str:
    """Where this machine has its Debian packages from."""
    targets = output(
        "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Identifier: Packages", "Origin: Debian"
    )
    mirrors = [line.split() for line in targets.splitlines()]
    for label, *uri in mirrors:
        if label == "Debian" and len(uri) == 1:
            return uri[0]
    raise Unavailable(
        "this machine's apt knows no Debian packages: it is another system, or `apt-get update` has not run"
    )


def make(suite: str, architecture: str, folder: Path, packages: list[str]) -> None:
    """Unpacks packages of a suite into a folder, unless it holds them already."""
    wanted = f"{suite} {architecture} {' '.join(packages)}\n"
    made = folder / ".made-from"  # written last
    if made.is_file() and made.read_text() == wanted:
        return
    if not KEYRING.is_file():
        raise Unavailable(f"there is no `{KEYRING}` to check packages with")
    mirror = debian_mirror()
    shutil.rmtree(folder, ignore_errors=True)
    state = folder.with_name(folder.name + ".apt")
    shutil.rmtree(state, ignore_errors=True)
    for part in ("lists/partial", "archives/partial", "etc"):
        (state / part).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
    options = {
        "Dir::Etc": state / "etc",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        # Into its own folders nobody else writes, so the sandbox's user need not be able to.
        "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    output(*apt, "update")
    output(*apt, "install", "--download-only", "--yes", "--no-install-recommends", *packages)
    folder.mkdir(parents=True)
    for package in packages:
        archives = sorted((state / "archives").glob(f"{package}_*.deb"))
        if not archives:
            raise Unavailable(f"`{package}` is not in Debian {suite} for {architecture}")
        output("dpkg", "-x", archives[-1], folder)
    shutil.rmtree(state)
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "tmp").mkdir(mode=0o1777, exist_ok=True)
    made.write_text(wanted)


INSIDE = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
"""Becomes the first process of the name spaces: the folder is its name, the command its arguments."""


def run(folder: Path, command: list[str]) -> int:
    """Runs a command inside, with an empty environment, and returns its exit code."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *user, "--mount", "--pid", "--fork", "--net"]
    output(*unshare, "sh", "-c", 'mount -t proc proc "$0/proc"', folder)
    return subprocess.run(
        [*unshare, "sh", "-c", INSIDE, folder, *command], env={"PATH": os.defpath + ":/usr/sbin:/sbin"}
    ).returncode


def main() -> int:
    """Does what the first argument says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="unpack packages of a suite into a folder")
    making.add_argument("suite")
    making.add_argument("architecture")
    making.add_argument("folder", type=Path)
    making.add_argument("packages", nargs="+")
    running = commands.add_parser("run", help="run a command with a folder as its root")
    running.add_argument("folder", type=Path)
    running.add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    try:
        if arguments.command == "run":
            return run(folder, arguments.arguments)
        make(arguments.suite, arguments.architecture, folder, arguments.packages)
    except Unavailable as reason:
        print(f"unavailable: {reason}", file=sys.stderr)
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
