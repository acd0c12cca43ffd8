#!/usr/bin/env bash
# What can be proven of a target's archives on a machine of that target, before anybody signs them: they are what they
# should be, and an encoderfile built from nothing else answers what the quickstart answers.
#
#   release/prove.sh DIR    DIR as `release/build.sh --archives --out DIR` fills it
set -euo pipefail
dist=$(cd "${1:?"the directory of the archives is missing"}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/encoderfile-prove.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --locked --release --package encoderfile-release
tool=$CARGO_TARGET_DIR/release/encoderfile-release
version=$("$tool" --version | cut -d' ' -f2)

# A release of its own, signed with a key that nobody will believe.
release=$work/dist/v$version
mkdir -p "$release"
cp "$dist"/* "$release"
"$tool" keygen --out "$work/key"
"$tool" index --version "$version" "$release"
"$tool" sign "$release" --key "$work/key/encoderfile.key"
"$tool" verify "$release" --trusted-key "$work/key/encoderfile.pub"

for archive in "$dist"/encoderfile-*.tar.zst; do
    name=$(basename "$archive")
    case $name in
    encoderfile-runtime-*) program=encoderfile-runtime target=${name#encoderfile-runtime-} ;;
    *) program=encoderfile target=${name#encoderfile-} ;;
    esac
    zstd -dcq "$archive" | tar -xf - -C "$work" "$program"
    "$tool" check "$work/$program" --target "${target%.tar.zst}" --program "$program"
done
python3 tools/try_release.py --cli "$work/encoderfile" --source "$work/dist" --trusted-key "$work/key/encoderfile.pub"
