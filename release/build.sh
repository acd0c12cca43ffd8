#!/usr/bin/env bash
# Builds the base binary and the command line as they are released: from one commit the same bytes, in any folder, by any
# user. For Linux it needs no more than a plain Debian bookworm with curl, git, gcc, libc6-dev, Python 3 with pip, and the
# Rust of release/rust-version; what else it needs is fetched by digest into the build directory.
#
#   release/build.sh                                      for this machine
#   release/build.sh --target aarch64-unknown-linux-gnu   for another one
#   release/build.sh --archives --out dist/v0.1.0         packed, as a release has them
#
# What is built without `--archives` is packed by `encoderfile-release pack`, with CARGO_TARGET_DIR as the release-build
# folder in the build directory, where the notices of ONNX Runtime are.
#
# Options:
#   --target TARGET  target triple [default: this machine's]
#   --out DIR        directory for what is built [default: <build directory>/release-build/<target>/out]
#   --archives       pack the executables, instead of copying them
#   --only PROGRAM   encoderfile-runtime or encoderfile, in half the time: for trying, since what both use is then compiled
#                    with what one of them needs, which may give other bytes
#   --any-rust       take whatever Rust there is (RUSTC, or the one on PATH): for trying, not for a release
#
# Linux executables are linked with Zig's linker against glibc 2.17, which is what Rust itself needs, wherever they are
# built; the base binary ends up needing 2.27, since the ONNX Runtime inside does.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly repository

readonly GLIBC=2.17   # of which every Rust for Linux needs this or a newer one
readonly MACOS=13.0   # which the ONNX Runtime inside needs

fail() {
    printf 'error: %s\n' "$1" >&2
    (($# < 2)) || printf 'hint: %s\n' "$2" >&2
    exit 1
}

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

target='' out='' archives=false any_rust=false programs=(encoderfile-runtime encoderfile)
while (($#)); do
    case $1 in
    -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit
        ;;
    --archives) archives=true ;;
    --any-rust) any_rust=true ;;
    --target | --out | --only)
        (($# >= 2)) || fail "\`$1\` needs a value"
        case $1 in
        --target) target=$2 ;;
        --out) out=$2 ;;
        --only) programs=("$2") ;;
        esac
        shift
        ;;
    *) fail "unexpected argument \`$1\`" "\`--help\` lists the options" ;;
    esac
    shift
done

# --- the toolchain: exactly the one that the last release was built with

version=$(<"$repository/release/rust-version")
if $any_rust; then
    export RUSTC=${RUSTC:-rustc}
else
    export RUSTUP_TOOLCHAIN=$version # heeded by rustup only
    export RUSTC=rustc
fi
command -v cargo >/dev/null || fail "\`cargo\` is not on PATH" "install Rust from https://rustup.rs"
found=$("$RUSTC" --version 2>/dev/null) || found="no \`$RUSTC\`"
if ! $any_rust && [[ $found != "rustc $version "* ]]; then
    fail "releases are built with Rust $version, and here is $found" \
        "rustup toolchain install $version --profile minimal; or try another Rust with \`--any-rust\`"
fi
host=$("$RUSTC" -vV | sed -n 's/^host: //p')
target=${target:-$host}
[[ ${programs[*]} == encoderfile-runtime* ]] || ! $archives || fail "a release has no command line without the base binary"
case $target in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) linker=zig ;;
x86_64-apple-darwin | aarch64-apple-darwin)
    linker=apple
    [[ $(uname -s) == Darwin ]] || fail "\`$target\` is built on macOS only"
    ;;
*) fail "no releases are made for \`$target\`" "they are for x86_64 and aarch64, -unknown-linux-gnu and -apple-darwin" ;;
esac
libraries=$("$RUSTC" --print target-libdir --target "$target")
if ! compgen -G "$libraries/libstd-*" >/dev/null; then
    fail "Rust's standard library for \`$target\` is not installed" \
        "rustup target add $target --toolchain $version; Debian: libstd-rust-web-dev of that architecture"
fi

# --- an environment in which nothing of this machine is left

target_directory=${CARGO_TARGET_DIR:-$repository/target}
mkdir -p "$target_directory/release-build"
target_directory=$(cd "$target_directory/release-build" && pwd -P)
cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
# The longest last: of several that fit, the compiler takes the last one.
places=("$cargo_home=/cargo" "$repository=/encoderfile" "$target_directory=/target")
rust_flags=() c_flags=''
for place in "${places[@]}"; do
    rust_flags+=("--remap-path-prefix=$place")
    [[ $place != *[[:space:]]* ]] || fail "\`${place%=*}\` has a space in it, which C compilers are not told of"
    c_flags+=" -ffile-prefix-map=$place"
done
for variable in $(compgen -e); do
    case $variable in
    RUSTFLAGS | RUSTC_WRAPPER | RUSTC_WORKSPACE_WRAPPER | CARGO_BUILD_* | CARGO_PROFILE_* | CARGO_TARGET_*_* | CC* | \
        CXX* | CFLAGS* | CPPFLAGS* | LDFLAGS* | AR | AR_* | ENCODERFILE_*) unset "$variable" ;;
    esac
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${rust_flags[*]}")
export CARGO_ENCODED_RUSTFLAGS CFLAGS=${c_flags# } CXXFLAGS=${c_flags# } CARGO_TARGET_DIR=$target_directory
export CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC
if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
    SOURCE_DATE_EPOCH=$(git -C "$repository" log -1 --format=%ct) ||
        fail "the time of the commit is not known" "set SOURCE_DATE_EPOCH"
fi
export SOURCE_DATE_EPOCH
umask 022

# --- build

# Zig's linker, by digest; again whenever the pins change.
zig() {
    local requirements=$repository/release/requirements.txt tools
    tools=$target_directory/tools-$(sha256 "$requirements" | cut -c1-16)
    if [[ ! -e $tools/ziglang/zig ]]; then
        rm -rf "$tools.new"
        python3 -m pip install --disable-pip-version-check --quiet --no-input --no-deps --only-binary :all: \
            --require-hashes --target "$tools.new" --requirement "$requirements" ||
            fail "pip cannot fetch Zig and cargo-zigbuild" "it needs Python 3 with pip, and its index or a mirror"
        rm -rf "$tools" && mv "$tools.new" "$tools"
    fi
    export PATH=$tools/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$tools/ziglang/zig
    export CARGO_ZIGBUILD_CACHE_DIR=$tools/cache ZIG_GLOBAL_CACHE_DIR=$tools/cache/zig ZIG_LOCAL_CACHE_DIR=$tools/cache/zig
}

cd "$repository"
packages=("${programs[@]/#/--package=}")
if [[ $linker == zig ]]; then
    (
        zig
        cargo zigbuild --locked --release --target "$target.$GLIBC" "${packages[@]}"
    )
else
    MACOSX_DEPLOYMENT_TARGET=$MACOS cargo build --locked --release --target "$target" "${packages[@]}"
fi

# --- results

built=$target_directory/$target/release
out=${out:-$target_directory/$target/out}
mkdir -p "$out"
if $archives; then
    # The maintainers' tool is for this machine, and is not released.
    CFLAGS='' CXXFLAGS='' cargo build --locked --release --package encoderfile-release
    pack=(pack --target "$target" --runtime "$built/encoderfile-runtime" --out "$out")
    [[ ${programs[*]} == encoderfile-runtime ]] || pack+=(--cli "$built/encoderfile")
    "$target_directory/release/encoderfile-release" "${pack[@]}"
else
    for name in "${programs[@]}"; do
        install -m 755 "$built/$name" "$out"
        printf '%s\n  size:   %s\n' "$out/$name" "$(wc -c <"$out/$name" | tr -d ' ')"
        printf '  sha256: %s\n' "$(sha256 "$out/$name")"
    done
fi
