#!/usr/bin/env python3
"""What only macOS can say of the files that `encoderfile` makes for it.

    python3 tools/prove_macos.py dist                                  the archives of this machine's target
    python3 tools/prove_macos.py dist --target x86_64-apple-darwin     those of Intel's, which Rosetta runs

`dist` is what `release/build.sh --archives --out dist` fills. For payloads of no byte up to 2.3 GiB: strict verification
passes, the kernel starts the file, as it is, copied and quarantined, and maps every page; it can be signed again, also with the
hardened runtime; of a file with a flipped byte, both `codesign` and `encoderfile verify` say that it was changed. A file that
holds a model answers, too. Needs Rust with the target, `zstd` and Apple's command line tools.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from console import Failure
from with_requirements import REPOSITORY

PAGE = 0x4000
GIB = 1 << 30
LENGTHS = (0, 1, PAGE - 1, PAGE, PAGE + 1, GIB, GIB * 23 // 10)
PROCESSORS = {"aarch64-apple-darwin": "arm64", "x86_64-apple-darwin": "x86_64"}

CODE_SIGNATURE = 0x1D
SEGMENT_64 = 0x19

ENTITLEMENTS = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>com.apple.security.cs.disable-library-validation</key><true/></dict></plist>
"""
"""What a runtime needs under the hardened runtime: ONNX Runtime, which it unpacks, is signed by somebody else."""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int | None
    text: str


def ask(*command: str | Path, seconds: int = 600) -> Answer:
    """Runs a command, whatever its exit code; one that takes too long (somebody may be asked something) has none."""
    line = [str(part) for part in command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        run = subprocess.run(line, **pipes, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Answer(None, f"no answer within {seconds} seconds")
    return Answer(run.returncode, run.stdout)


def run(*command: str | Path) -> str:
    """Runs a command that has to succeed."""
    answer = ask(*command)
    if answer.code != 0:
        raise Failure(f"`{' '.join(map(str, command))}` ended with {answer.code}\n{answer.text}")
    return answer.text


def expect(condition: bool, message: str) -> None:
    """Stops where something does not hold."""
    if not condition:
        raise Failure(message)


def places(path: Path) -> tuple[range, int]:
    """The bytes of the segment with the model, and where the code signature starts."""
    with path.open("rb") as file:
        _, _, _, _, count, size, _, _ = struct.unpack("<8I", file.read(32))
        commands = file.read(size)
    segment, signature, at = None, None, 0
    for _ in range(count):
        kind, length = struct.unpack_from("<2I", commands, at)
        if kind == SEGMENT_64 and commands[at + 8 : at + 24].rstrip(b"\0") == b"__ENCFILE":
            offset, stored = struct.unpack_from("<2Q", commands, at + 40)
            segment = range(offset, offset + stored)
        if kind == CODE_SIGNATURE:
            (signature,) = struct.unpack_from("<I", commands, at + 8)
        at += length
    if segment is None or signature is None:
        raise Failure(f"`{path}` has no segment `__ENCFILE`, or no code signature")
    return segment, signature


def flip(path: Path, position: int) -> None:
    """Changes a bit of a byte; twice, and the file is as it was."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def positions(path: Path) -> list[int]:
    """Bytes of the header, of the payload's start, middle and end, and right before the signature."""
    segment, signature = places(path)
    return [0x18, segment.start, (segment.start + segment.stop) // 2, segment.stop - 1, signature - 1]


def parts(cli: Path, path: Path) -> dict[str, dict[str, object]]:
    """What `encoderfile verify` says of each part. It also looks for a model (exit code 4), which not all files here hold."""
    run = subprocess.run([cli, "verify", "--json", path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    expect(run.returncode in (0, 4), f"`encoderfile verify {path}` ended with {run.returncode}\n{run.stderr}")
    return {part["part"]: part for part in json.loads(run.stdout)["parts"]}


def assert_intact(cli: Path, path: Path) -> None:
    """Every byte is what was written and what was signed."""
    found = parts(cli, path)
    expect("code signature" in found, f"`encoderfile verify {path}` did not look at the code signature")
    bad = [part for part in found.values() if part["result"] != "intact"]
    expect(not bad, f"`encoderfile verify {path}`: {bad}")


def assert_damage_is_seen(cli: Path, path: Path, position: int) -> None:
    """By `encoderfile verify`, which names the page, or which cannot read what stands there."""
    run = subprocess.run([cli, "verify", "--json", path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if not run.stdout:
        expect(run.returncode == 4, f"byte {position} of `{path}`: exit code {run.returncode}\n{run.stderr}")
        return
    signature = next(part for part in json.loads(run.stdout)["parts"] if part["part"] == "code signature")
    pages = re.search(r"page \d+ \(bytes (\d+)\.\.(\d+)\)", str(signature.get("reason")))
    where = pages is not None and int(pages[1]) <= position < int(pages[2])
    expect(where, f"`encoderfile verify` does not see that byte {position} of `{path}` was flipped: {signature}")


class Proof:
    """The programs of a target, and where files go."""

    def __init__(self, target: str, archives: Path, folder: Path):
        self.target = target
        self.folder = folder
        for program in ("encoderfile-runtime", "encoderfile"):
            archive = archives / f"{program}-{target}.tar.zst"
            run("zstd", "-dqf", archive, "-o", folder / "archive.tar")
            run("tar", "-xf", folder / "archive.tar", "-C", folder, program)
        self.base, self.cli = folder / "encoderfile-runtime", folder / "encoderfile"
        command = ["cargo", "build", "--locked", "--release", "--package", "encoderfile-format", "--examples"]
        subprocess.run([*command, "--target", target], cwd=REPOSITORY, check=True)
        built = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / target / "release" / "examples"
        self.sized_payload, self.map_itself = built / "sized_payload", built / "map_itself"

    def start(self, path: Path, *arguments: str, seconds: int = 120) -> Answer:
        """Starts a file as the target's processor would."""
        return ask("arch", f"-{PROCESSORS[self.target]}", path, *arguments, seconds=seconds)

    def assert_accepted(self, path: Path, *arguments: str) -> None:
        """Signed as the strictest check wants it, and started by the kernel."""
        run("codesign", "--verify", "--strict", "--verbose=4", path)
        answer = self.start(path, *arguments)
        expect(answer.code == 0, f"`{path}` ended with {answer.code}\n{answer.text}")

    def prove_base(self) -> None:
        """The base binary as it was linked: for Intel's processors, the linker does not sign."""
        answer = ask("codesign", "--verify", "--strict", self.base)
        is_unsigned = "not signed at all" in answer.text and self.target.startswith("x86_64")
        expect(answer.code == 0 or is_unsigned, f"`codesign` does not accept the base binary\n{answer.text}")
        answer = self.start(self.base, "--version")
        expect(answer.code == 0, f"the base binary ended with {answer.code}\n{answer.text}")

    def prove_length(self, length: int) -> None:
        """Files with a payload of a length."""
        file, copy = self.folder / "file", self.folder / "copy"
        run(self.sized_payload, self.base, str(length), file)
        self.assert_accepted(file, "--version")
        assert_intact(self.cli, file)
        expect("__ENCFILE" in run("otool", "-l", file), "`otool` sees no segment `__ENCFILE`")
        shown = run("codesign", "--display", "--verbose=4", file)
        expect("flags=0x20002(adhoc,linker-signed)" in shown, f"`codesign` shows other flags\n{shown}")
        self.prove_loader(file)
        if length == 1:
            self.prove_quarantine(file, copy)
        self.prove_flips(file, copy)
        self.prove_signing(file, copy, "--version")
        run(self.sized_payload, self.map_itself, str(length), file)
        self.assert_accepted(file)
        self.prove_signing(file, copy)

    def prove_loader(self, file: Path) -> None:
        """What the loader says of the base binary, it says of the file. Its tool is not on every system."""
        if shutil.which("dyld_info") is None:
            print("   skipped: there is no dyld_info here", flush=True)
            return
        said = []
        for path in (self.base, file):
            answer = ask("dyld_info", "-validate_only", path)
            # What it finds wrong, it only prints.
            said.append([line for line in answer.text.splitlines() if not line.startswith(str(path))])
        if any("unknown option" in line for line in said[0]):
            print("   skipped: this dyld_info validates nothing", flush=True)
            return
        expect(said[0] == said[1], f"`dyld_info -validate_only` says of the base and of the file:\n{said}")

    def prove_quarantine(self, file: Path, copy: Path) -> None:
        """A downloaded file starts where a downloaded base binary does: nobody vouches for either."""
        starts = []
        for path in (self.base, file):
            copy.unlink(missing_ok=True)
            run("cp", path, copy)
            run("xattr", "-w", "com.apple.quarantine", "0081;00000000;encoderfile;", copy)
            starts.append(self.start(copy, "--version", seconds=20).code == 0)
        expect(starts[0] == starts[1], f"quarantined, the base binary starts: {starts[0]}, the file: {starts[1]}")

    def prove_flips(self, file: Path, copy: Path) -> None:
        """A flipped byte is seen. Whether the kernel starts such a file depends on the pages that it needs, and on whether it
        insists."""
        for position in positions(file):
            # A file of its own, since the kernel keeps what it knows of an inode.
            copy.unlink(missing_ok=True)
            run("cp", file, copy)
            flip(copy, position)
            answer = ask("codesign", "--verify", "--strict", copy)
            is_seen = answer.code is not None and answer.code > 0
            expect(is_seen, f"`codesign --verify --strict`: byte {position} was flipped, and it says\n{answer.text}")
            assert_damage_is_seen(self.cli, copy, position)
            flip(copy, position)
            run("codesign", "--verify", "--strict", copy)

    def prove_signing(self, file: Path, copy: Path, *arguments: str) -> None:
        """Signed again, it is what it was; and so it is twice, where the end of a longer signature may stay behind the next one."""
        long = ["--identifier", "org.example." + 200 * "x", "--options", "runtime"]
        for signatures in ([[]], [["--options", "runtime"]], [long, []]):
            copy.unlink(missing_ok=True)
            run("cp", file, copy)
            for options in signatures:
                run("codesign", "--force", "--sign", "-", *options, copy)
                self.assert_accepted(copy, *arguments)
                assert_intact(self.cli, copy)

    def prove_model(self, file: Path) -> None:
        """A file with a model answers, also under the hardened runtime, where it needs a right."""
        copy, rights = self.folder / "copy", self.folder / "rights.plist"
        rights.write_text(ENTITLEMENTS, encoding="utf-8")
        answers = []
        for options in (None, [], ["--options", "runtime", "--entitlements", str(rights)]):
            copy.unlink(missing_ok=True)
            run("cp", file, copy)
            if options is not None:
                run("codesign", "--force", "--sign", "-", *options, copy)
            self.assert_accepted(copy, "--version")
            assert_intact(self.cli, copy)
            answer = self.start(copy, "infer", "A text.")
            expect(answer.code == 0, f"`infer` ended with {answer.code}\n{answer.text}")
            answers.append(answer.text)
        expect(len(set(answers)) == 1, "signed again, the file answers something else")


def prove(options: argparse.Namespace, folder: Path) -> None:
    """All of it, for one target."""
    target = options.target
    # Where System Integrity Protection is off, the kernel starts more than elsewhere.
    print(run("sw_vers"), ask("csrutil", "status").text, ask("spctl", "--status").text, sep="", end="", flush=True)
    proof = Proof(target, options.archives.resolve(), folder)
    print(f"== the base binary for {target}, as it was linked", flush=True)
    proof.prove_base()
    for length in LENGTHS:
        print(f"== a payload of {length} bytes", flush=True)
        proof.prove_length(length)
    if options.model:
        print(f"== the model in {options.model}", flush=True)
        proof.prove_model(options.model)


def main() -> int:
    """Says what does not hold, if anything."""
    host = {"arm64": "aarch64-apple-darwin"}.get(platform.machine(), "x86_64-apple-darwin")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, metavar="DIR", help="where the archives are")
    parser.add_argument("--target", choices=PROCESSORS, default=host, help="this machine's unless it is given")
    parser.add_argument("--model", type=Path, metavar="FILE", help="an encoderfile of this target that holds a model")
    options = parser.parse_args()
    if sys.platform != "darwin":
        print("error: this is proven on macOS only", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="encoderfile-macos-") as folder:
            prove(options, Path(folder))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
