#!/usr/bin/env python3
"""Puts models into Mach-O executables that linkers made, and compares these before and after with other eyes.

    python3 tools/with_requirements.py --requirements tools/mach_o_requirements.txt tools/mach_o.py

Zig compiles a small program for both processors of macOS, and links it; so does LLVM's linker where Rust brings it, which
knows chained fixups. The tests of `encoderfile-format` put models of several lengths into them, check the rules of macOS
(ENCODERFILE_MACH_O names the folder), and leave their files there. LIEF, which shares nothing with this project, then has to
see the same entry, symbols, bindings, relocations, libraries and function starts as before. `encoderfile-release check` has to
know a whole executable from a damaged one, and `encoderfile verify` has to see each byte that `prove_macos.py` flips.

Whatever is in the folder's `signed` (files that were signed again, by hand) is read by the tests, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import lief
import prove_macos

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = (REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "mach-o").resolve()
PROCESSORS = {"arm64": "aarch64", "x86_64": "x86_64"}
PAGES = {"arm64": 0x4000, "x86_64": 0x1000}

# Pointers to adjust, imports, thread-local data, zeros and a table of its own: something of all that is moved or measured.
PROGRAM = """
#include <stdio.h>
#include <string.h>
static const char *volatile words[] = {"one", "two", "three"};
int (*table[])(const char *) = {puts, puts};
const unsigned char stamp[] = {%s};
__attribute__((visibility("default"))) int counter = 7;
static _Thread_local int local = 3;
static volatile char zeros[100000];
int main(int argc, char **argv) {
    for (int i = 0; i < 3; i++) table[argc & 1](words[i]);
    local += zeros[argc];
    return (int)strlen(argv[0]) + counter + local + stamp[argc];
}
"""

LIBRARY = """--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '/usr/lib/libSystem.B.dylib'
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ _puts, _strlen, __tlv_bootstrap, dyld_stub_binder ]
...
"""


def stamp(target: str) -> bytes:
    """A base binary's stamp, as format/README.md has it."""
    texts = {1: b"0.1.0", 2: target.encode(), 4: b"1.23.2"}
    fields = {number: bytes([number << 3 | 2, len(text)]) + text for number, text in texts.items()}
    message = fields[1] + fields[2] + bytes([3 << 3 | 2, 1, 1]) + fields[4]
    return b"\0ENCODERFILE-RT\0" + struct.pack("<I", len(message)) + message + hashlib.sha256(message).digest()


def zig(*arguments: str | Path) -> None:
    """Runs the compiler, which keeps what it builds of the system's library in the build directory."""
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(FOLDER / "cache"), "ZIG_LOCAL_CACHE_DIR": str(FOLDER / "cache")}
    command = [sys.executable, "-m", "ziglang", "cc", *map(str, arguments)]
    subprocess.run(command, env={**os.environ, **cache}, check=True)


def lld() -> Path | None:
    """LLVM's linker, which Rust's own distribution has."""
    root = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    return next(Path(root).glob("lib/rustlib/*/bin/rust-lld"), None)


def make() -> None:
    """Executables that a model can be put into, and such that it cannot."""
    for name in ("good", "refused", "written"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        (FOLDER / name).mkdir(parents=True)
    linker = lld()
    if linker is None:
        missing = "this Rust brings no rust-lld, which makes executables with chained fixups"
        if shutil.which("rustup"):
            sys.exit(f"error: {missing}")
        print(f"skipped: {missing}")
    library = FOLDER / "libSystem.tbd"
    library.write_text(LIBRARY)
    for processor, name in PROCESSORS.items():
        source = FOLDER / f"{processor}.c"
        source.write_text(PROGRAM % ", ".join(map(str, stamp(f"{name}-apple-darwin"))))
        options = ["-target", f"{name}-macos.13.0", "-O1", source]
        zig(*options, "-Wl,-headerpad,0x400", "-o", FOLDER / "good" / f"zig-{processor}")
        if linker is None:
            continue
        compiled = FOLDER / f"{processor}.o"
        zig(*options, "-c", "-o", compiled)
        common = ["-flavor", "darwin", "-arch", processor, "-platform_version", "macos", "13.0", "13.0"]
        kinds = {"chained": ["-fixup_chains"], "info": ["-no_fixup_chains"]}
        kinds["unsigned"] = ["-fixup_chains", "-no_adhoc_codesign"]
        kinds["signed"] = ["-fixup_chains", "-adhoc_codesign"]
        for kind, flags in kinds.items():
            output = FOLDER / "good" / f"lld-{processor}-{kind}"
            files = ["-headerpad", "0x400", "-o", output, compiled, library]
            subprocess.run([linker, *common, *flags, *files], check=True)
    options = ["-target", "aarch64-macos.13.0", "-O1", FOLDER / "arm64.c"]
    zig(*options, "-Wl,-headerpad,0x20", "-o", FOLDER / "refused" / "no-room")
    thin = (FOLDER / "good" / "zig-arm64").read_bytes()
    head = struct.pack(">2I5I", 0xCAFEBABE, 1, 0x0100000C, 0, 0x4000, len(thin), 14)
    (FOLDER / "refused" / "fat").write_bytes(head.ljust(0x4000, b"\0") + thin)


def judge() -> None:
    """What `encoderfile-release check` says of a linker's executable, whole and with one byte flipped."""
    build = ["cargo", "build", "--quiet", "--package", "encoderfile-release", "--bin", "encoderfile-release"]
    subprocess.run(build, cwd=REPOSITORY, check=True)
    tool = FOLDER.parent / "debug" / "encoderfile-release"
    for processor, name in PROCESSORS.items():
        source, program = FOLDER / f"{processor}-plain.c", FOLDER / f"{processor}-plain"
        source.write_text(PROGRAM % "0")  # no stamp: in the place of a command line
        zig("-target", f"{name}-macos.13.0", "-O1", source, "-Wl,-headerpad,0x400", "-o", program)
        whole = program.read_bytes()
        damaged = FOLDER / f"{processor}-damaged"
        damaged.write_bytes(whole[:0x800] + bytes([whole[0x800] ^ 1]) + whole[0x801:])
        answers = []
        for path in (program, damaged):
            command = [tool, "check", path, "--target", f"{name}-apple-darwin"]
            answers.append(subprocess.run(command, capture_output=True, text=True))
        good, bad = answers
        # What Zig links for Intel has no signature, and needs none: a flipped byte is nobody's to see.
        if processor == "arm64" and (bad.returncode != 4 or "signature" not in bad.stderr):
            sys.exit(f"error: `check` does not refuse {damaged}\n{bad.stdout}{bad.stderr}")
        if good.returncode != 0 or json.loads(good.stdout)["floor"] != {"macos": "13.0"}:
            sys.exit(f"error: `check` does not accept {program}\n{good.stdout}{good.stderr}")
    print("`check` accepts what Zig links, and refuses it with a flipped byte")


def flip(written: list[Path]) -> None:
    """What `prove_macos.py` asks of `encoderfile verify`, which needs no macOS."""
    subprocess.run(["cargo", "build", "--quiet", "--package", "encoderfile"], cwd=REPOSITORY, check=True)
    cli, copy = FOLDER.parent / "debug" / "encoderfile", FOLDER / "flipped"
    count = 0
    for path in written:
        shutil.copyfile(path, copy)
        prove_macos.assert_intact(cli, copy)
        for position in prove_macos.positions(copy):
            prove_macos.flip(copy, position)
            prove_macos.assert_damage_is_seen(cli, copy, position)
            prove_macos.flip(copy, position)
            count += 1
    print(f"`encoderfile verify` sees each of {count} bytes that were flipped in {len(written)} files")


def facts(path: Path) -> dict[str, object]:
    """What the loader and debuggers take out of an executable."""
    binary = lief.MachO.parse(str(path)).at(0)
    segments = [s for s in binary.segments if s.name not in ("__ENCFILE", "__LINKEDIT")]
    return {
        "entry": binary.entrypoint,
        "libraries": [str(library.name) for library in binary.libraries],
        "symbols": sorted((str(s.name), s.value, s.raw_type, s.description) for s in binary.symbols),
        "exports": sorted((str(s.name), s.value) for s in binary.exported_symbols),
        "indirect symbols": [str(s.name) for s in binary.dynamic_symbol_command.indirect_symbols],
        "bindings": sorted((b.address, str(b.symbol.name) if b.has_symbol else "") for b in binary.bindings),
        "relocations": sorted((r.address, r.size) for r in binary.relocations),
        "function starts": list(binary.function_starts.functions) if binary.has_function_starts else [],
        "segments": [(s.name, s.virtual_address, s.virtual_size, s.file_offset, s.file_size) for s in segments],
        "content": hashlib.sha256(b"".join(bytes(s.content) for s in binary.sections)).hexdigest(),
        "has chained fixups": binary.has_dyld_chained_fixups,
    }


def main() -> None:
    """Makes, tests, compares."""
    lief.logging.disable()
    make()
    command = ["cargo", "test", "--quiet", "--package", "encoderfile-format", "--test", "it", "mach_o::"]
    subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "ENCODERFILE_MACH_O": str(FOLDER)}, check=True)
    written = sorted((FOLDER / "written").iterdir())
    if len(written) < 10:
        sys.exit(f"error: the tests left {len(written)} files in {FOLDER / 'written'}, expected at least 10")
    for path in written:
        original = FOLDER / "good" / path.name.rpartition("-")[0]
        before, after = facts(original), facts(path)
        for key, value in before.items():
            if after[key] != value:
                sys.exit(f"error: {path.name} has other {key} than {original.name}\n{value}\n{after[key]}")
        if not before["symbols"] or not (before["bindings"] or before["relocations"]):
            sys.exit(f"error: nothing is seen of {original.name} that could change")
    judge()
    flip(written)
    kinds = len(list((FOLDER / "good").iterdir()))
    print(f"{len(written)} files of {kinds} executables have what they had before")


if __name__ == "__main__":
    main()
