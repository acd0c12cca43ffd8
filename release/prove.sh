#!/usr/bin/env bash
# What can be proven of a target's archives on a machine of that target, before anybody signs them: they are what they
# should be, and an encoderfile built from nothing else answers what the quickstart answers.
#
#   release/prove.sh DIR    DIR as `release/build.sh --archives --out DIR` fills it
#
# ENCODERFILE_RELEASE names the maintainers' tool; it is built where there is none.
set -euo pipefail
dist=$(cd "${1:?"the directory of the archives is missing"}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/encoderfile-prove.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
tool=${ENCODERFILE_RELEASE:-}
if [[ -z $tool ]]; then
    cargo build --locked --release --package encoderfile-release
    tool=$CARGO_TARGET_DIR/release/encoderfile-release
fi
version=$("$tool" --version | cut -d' ' -f2)

# A release of its own, signed with a key that nobody will believe.
release=$work/dist/v$version
mkdir -p "$release"
cp "$dist"/*.tar.zst "$dist"/*.cdx.json "$release"
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
    target=${target%.tar.zst}
    mkdir -p "$work/$target"
    zstd -dcq "$archive" | tar -xf - -C "$work/$target" "$program"
    "$tool" check "$work/$target/$program" --target "$target" --program "$program"
done
host=$(rustc -vV | sed -n 's/^host: //p')
python3 tools/try_release.py --cli "$work/$host/encoderfile" --source "$work/dist" --trusted-key "$work/key/encoderfile.pub"
