#!/usr/bin/env bash
# What only macOS can say of the files that `encoderfile` makes for it: that strict verification passes, that the kernel
# starts them, whatever the payload's length, that they can be signed again, and that a flipped byte is found.
#
#   release/prove_macos.sh DIR    DIR as `release/build.sh --archives --out DIR` fills it
set -euo pipefail
dist=$(cd "${1:?"the directory of the archives is missing"}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ $(uname -s) != Darwin ]]; then
    echo "error: this is proven on macOS only" >&2
    exit 1
fi

target=$(rustc -vV | sed -n 's/^host: //p')
work=$(mktemp -d "${TMPDIR:-/tmp}/encoderfile-macos.XXXXXX")
trap 'rm -rf "$work"' EXIT
zstd -dcq "$dist/encoderfile-runtime-$target.tar.zst" | tar -xf - -C "$work" encoderfile-runtime
zstd -dcq "$dist/encoderfile-$target.tar.zst" | tar -xf - -C "$work" encoderfile
base=$work/encoderfile-runtime cli=$work/encoderfile
sw_vers

# accepted FILE: signed as the strictest check wants it, and started by the kernel.
accepted() {
    codesign --verify --strict --verbose=4 "$1"
    "$1" --version >/dev/null
}

# intact FILE: every page of the payload is touched, and is what the manifest says. By what is printed, and not by the exit
# code: there is no model in these files, which `verify` says too.
intact() {
    "$cli" verify "$1" >"$work/verified.txt" 2>&1 || true
    grep -q 'every byte is what its writer recorded' "$work/verified.txt"
}

readable() {
    if ! intact "$1"; then
        cat "$work/verified.txt"
        echo "error: \`encoderfile verify\` does not accept $1" >&2
        exit 1
    fi
}

# refused FILE: by the check that reads all pages. Whether the kernel starts it depends on which pages it needs.
refused() {
    if codesign --verify --strict "$1" 2>/dev/null; then
        echo "error: \`codesign --verify --strict\` accepts $1, of which a byte was flipped" >&2
        exit 1
    fi
    if intact "$1"; then
        echo "error: \`encoderfile verify\` accepts $1, of which a byte was flipped" >&2
        exit 1
    fi
}

# flip FILE: a bit of the manifest, in a file of its own, since the kernel keeps what it knows of an inode.
flip() {
    cp "$1" "$1.flipped"
    python3 - "$1.flipped" <<'PYTHON'
import struct
import sys

with open(sys.argv[1], "r+b") as file:
    file.seek(-32, 2)
    magic, _, manifest = struct.unpack("<8sIQ", file.read(20))
    assert magic == b"ENCFILE\0", magic
    file.seek(manifest + 4)
    byte = file.read(1)[0]
    file.seek(manifest + 4)
    file.write(bytes([byte ^ 1]))
PYTHON
}

echo "== the base binary as it was linked"
accepted "$base"

cargo build --locked --release --package encoderfile-format --example sized_payload
sized=${CARGO_TARGET_DIR:-target}/release/examples/sized_payload
for length in 0 1 16383 16384 16385 1073741824; do
    echo "== a payload of $length bytes"
    file=$work/sized-$length
    "$sized" "$base" "$length" "$file"
    accepted "$file"
    readable "$file"
    otool -l "$file" >"$work/commands.txt"
    grep -q __ENCFILE "$work/commands.txt"
    codesign --display --verbose=3 "$file"

    cp "$file" "$file.copied"
    xattr -w com.apple.quarantine '0081;00000000;encoderfile;' "$file.copied"
    accepted "$file.copied"
    readable "$file.copied"

    flip "$file"
    refused "$file.flipped"

    for options in '' runtime; do
        cp "$file" "$file.signed"
        codesign --force --sign - ${options:+--options "$options"} "$file.signed"
        accepted "$file.signed"
        readable "$file.signed"
        rm "$file.signed"
    done
    rm -f "$file" "$file".*
done
