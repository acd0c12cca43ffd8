#!/usr/bin/env bash
# The C program `minisign`, for the tests that our signatures and its are the same: prints the path of a command that runs
# it. Takes the one on PATH, or fetches Debian's packages into the build directory and unpacks them there, which needs
# neither root nor an installation. Where neither works, it says why and exits with 1.
#
#   ENCODERFILE_MINISIGN=$(tools/minisign.sh) cargo test -p encoderfile-registry --test it minisign
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if command -v minisign; then
    exit
fi
for program in apt-get dpkg; do
    if ! command -v "$program" >/dev/null; then
        echo "no minisign: it is not on PATH, and without \`$program\` it cannot be fetched" >&2
        exit 1
    fi
done

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
folder=$(cd "$target" && pwd)/minisign
if [[ -x $folder/minisign ]]; then
    echo "$folder/minisign"
    exit
fi

mkdir -p "$folder/packages" "$folder/lists/partial"
cd "$folder/packages"
packages=(minisign libsodium23)
log=$folder/apt.log
# Into the own directory nobody else writes, so the sandbox's user need not be able to.
options=(-q -o APT::Sandbox::User="$(id -un)")
if ! apt-get "${options[@]}" download "${packages[@]}" >"$log" 2>&1; then
    # An image without package lists: lists of our own.
    options+=(-o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache")
    mkdir -p "$folder/cache/archives/partial"
    if ! { apt-get "${options[@]}" update && apt-get "${options[@]}" download "${packages[@]}"; } >"$log" 2>&1; then
        echo "no minisign: apt-get cannot download ${packages[*]}: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")" >&2
        exit 1
    fi
fi
for package in ./*.deb; do
    dpkg -x "$package" "$folder/root"
done
libraries=$(dirname "$(find "$folder/root" -name 'libsodium.so.*' -print -quit)")
cat >"$folder/minisign.new" <<EOF
#!/bin/sh
LD_LIBRARY_PATH='$libraries' exec '$folder/root/usr/bin/minisign' "\$@"
EOF
chmod +x "$folder/minisign.new"
if ! "$folder/minisign.new" -v >"$log" 2>&1; then
    echo "no minisign: what was unpacked does not run: $(head -n 1 "$log")" >&2
    exit 1
fi
mv "$folder/minisign.new" "$folder/minisign"
echo "$folder/minisign"
