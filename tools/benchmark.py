#!/usr/bin/env python3
"""Measures what users wait for, each beside what it is to be compared with, in turn within one run.

    python3 tools/benchmark.py [--runs N]

Run tools/quickstart.py first: it builds the programs. Measured at 90 MB and at 990 MB of weights:

* build, without its trial run, against `cp` and `sync` of base binary and model to the same disk;
* `verify` of the file against sha256sum, `inspect` against a program that does nothing;
* peak memory of build, verify, inspect and extract;
* cold start, from exec to the printed embedding of one text, with a warm page cache: weights mapped in place against
  the same file with its weights copied;
* private memory (Private_Dirty, MB: pages that are no copy of a file's) after the first answer, both ways;
* `base fetch` from loopback against curl piped to sha256sum and zstd, where these are installed;
* `base path` of a cached base binary, hashed by it, against sha256sum; `base list` against a program that does nothing.

Prints medians and the ratio of medians. Quiet machines give numbers that can be compared.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import with_requirements
from with_requirements import REPOSITORY

TEXT = "This is an example sentence"


def seconds(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def run(*command: str | Path) -> None:
    """Runs a command, whose output matters only if it fails."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"error: {command[0]} failed\n{done.stderr.decode(errors='replace')}")


def compare(
    title: str, runs: int, ours: Callable[[], None], theirs: Callable[[], None], names: tuple[str, str]
) -> None:
    """Runs both in turn, after one run each that is not counted, and prints medians (ms) and their ratio."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    a, b = (statistics.median(column) * 1000 for column in zip(*pairs))
    print(f"{title:24} {names[0]} {a:8.1f} ms   {names[1]} {b:8.1f} ms   ratio {a / b:5.2f}")


def peak_memory(*command: str | Path) -> float:
    """Peak resident memory of a command, MB, as the system accounts for it."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: {command[0]} failed")
    return usage.ru_maxrss * 1024 / 1e6


def private_memory(encoderfile: Path, weights: str) -> float:
    """Private memory of a file that has answered once and waits for the next line, MB."""
    command = [str(encoderfile), "infer", "--format", "jsonl", "--weights", weights]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(f"{TEXT}\n".encode())
        process.stdin.flush()
        process.stdout.readline()
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        process.stdin.close()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) * 1024 / 1e6


def measure_model(tool: Path, base: Path, model: Path, runs: int, folder: Path) -> None:
    """All that depends on the size of a model."""
    weights = model / "model.onnx"
    print(f"\nweights of {weights.stat().st_size / 1e6:.0f} MB")
    output = folder / "model.encoderfile"
    build = [tool, "build", model, "-o", output, "--base-binary-path", base, "--no-check", "-q"]
    copies = [folder / "base", folder / "weights"]

    def copy() -> None:
        run("cp", base, copies[0])
        run("cp", weights, copies[1])
        run("sync", *copies)

    compare("  build", runs, lambda: run(*build), copy, ("build ", "cp     "))
    compare("  verify", runs, lambda: run(tool, "verify", output), lambda: run("sha256sum", output), ("verify", "sha256 "))
    compare("  inspect", runs, lambda: run(tool, "inspect", output), lambda: run("true"), ("inspect", "true  "))
    extract = [tool, "extract", output, "-o", folder / "parts", "--force", "-q"]
    peaks = [("build", build), ("verify", [tool, "verify", output]), ("inspect", [tool, "inspect", output])]
    for name, command in [*peaks, ("extract", extract)]:
        print(f"{f'  {name}, peak memory':24} {peak_memory(*command):.0f} MB")
    answer = functools.partial(run, output, "infer", TEXT, "--weights")
    compare("  cold start", runs, lambda: answer("map"), lambda: answer("copy"), ("mapped", "copied "))
    if Path("/proc/self/smaps_rollup").exists():
        mapped, copied = private_memory(output, "map"), private_memory(output, "copy")
        print(
            f"{'  private memory':24} mapped {mapped:8.1f} MB   copied  {copied:8.1f} MB   ratio {mapped / copied:5.2f}"
        )


def measure_fetch(tool: Path, quickstart: Path, runs: int, folder: Path) -> None:
    """Fetching the release that the quickstart made."""
    if not all(map(shutil.which, ["curl", "zstd", "sha256sum", "bash"])):
        print("\nfetch: not measured, it needs curl, zstd and sha256sum")
        return
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = functools.partial(quiet, directory=str(quickstart / "dist"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = f"http://127.0.0.1:{server.server_port}"
    archive = next((quickstart / "dist").glob("v*/encoderfile-runtime-*.tar.zst"))
    url = f"{source}/{archive.parent.name}/{archive.name}"
    cache, key = folder / "cache", quickstart / "key" / "encoderfile.pub"
    fetch = [tool, "base", "fetch", "-q", "--source", source, "--trusted-key", key, "--cache-dir", cache]
    pipe = (
        f"curl -sS {url} | tee >(sha256sum >/dev/null) | zstd -dc > {folder}/fetched.tar && sync {folder}/fetched.tar"
    )

    def fetch_anew() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        run(*fetch)

    print(f"\narchive of {archive.stat().st_size / 1e6:.1f} MB")
    compare("  base fetch", runs, fetch_anew, lambda: run("bash", "-c", pipe), ("fetch ", "curl   "))
    print(f"{'  base fetch, peak memory':24} {peak_memory(*fetch, '--force'):.0f} MB")
    path = [tool, "base", "path", "--trusted-key", key, "--cache-dir", cache]
    binary = subprocess.run([str(word) for word in path], capture_output=True, check=True, text=True).stdout.strip()
    compare("  base path", runs, lambda: run(*path), lambda: run("sha256sum", binary), ("path  ", "sha256 "))
    listing = [tool, "base", "list", "--trusted-key", key, "--cache-dir", cache]
    compare("  base list", runs, lambda: run(*listing), lambda: run("true"), ("list  ", "true   "))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="counted runs of each (default 7)")
    runs = parser.parse_args().runs
    build_directory = with_requirements.build_directory()
    quickstart, release = build_directory / "quickstart", build_directory / "release"
    tool, base = release / "encoderfile", release / "encoderfile-runtime"
    if not (quickstart / "dist").exists():
        sys.exit("error: nothing is built\nhint: run `python3 tools/quickstart.py` first")
    with tempfile.TemporaryDirectory(dir=build_directory) as name:
        folder = Path(name)
        for megabytes in (0, 900):
            task = ["--task", "sentence_embedding", "--pad-embeddings", str(megabytes)]
            scripts = REPOSITORY / "tools"
            run(sys.executable, scripts / "with_requirements.py", scripts / "minilm.py", folder / "models", *task)
            measure_model(tool, base, folder / "models" / "sentence_embedding", runs, folder)
        measure_fetch(tool, quickstart, runs, folder)


if __name__ == "__main__":
    main()
