#!/usr/bin/env bash
# Builds the base binary for aarch64-unknown-linux-gnu on a Debian machine of another kind, and runs it in an emulator, with
# Debian's Rust: what is specific to that target is tried without such a machine. A release is built on a real one.
#
#   release/aarch64.sh [DIR]    the base binary goes to DIR [default: target/aarch64]
#
# Prints the command that runs it. Exits with 3 and the reason where the packages cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-${CARGO_TARGET_DIR:-target}/aarch64}

skip() {
    echo "skipped: $1" >&2
    exit 3
}

# The C++ library is what the ONNX Runtime inside needs.
packages=(rustc-web libstd-rust-web-dev:arm64 qemu-user libc6:arm64 libstdc++6:arm64)
if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    command -v apt-get >/dev/null || skip "this is no Debian machine"
    ((EUID == 0)) || skip "${packages[*]} are not installed, and only root can do that"
    {
        dpkg --add-architecture arm64
        # Others may be installing something: apt waits for them.
        apt-get -o DPkg::Lock::Timeout=300 update
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "${packages[@]}"
    } >&2 || skip "apt-get cannot install ${packages[*]}"
fi

RUSTC=/usr/bin/rustc release/build.sh --any-rust --only encoderfile-runtime --target aarch64-unknown-linux-gnu --out "$out" >&2
runtime=$out/encoderfile-runtime
qemu-aarch64 -L / "$runtime" --version >&2
status=0
qemu-aarch64 -L / "$runtime" infer text >&2 || status=$?
if ((status != 3)); then
    echo "error: a base binary without a model exits with 3, and this one with $status" >&2
    exit 1
fi
echo "qemu-aarch64 -L / $runtime"
