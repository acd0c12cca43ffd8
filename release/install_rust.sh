#!/usr/bin/env bash
# Installs the Rust that releases are built with, by rustup, and makes it the default.
#
#   release/install_rust.sh [OPTION of `rustup toolchain install`]...
set -euo pipefail
version=$(<"$(dirname "${BASH_SOURCE[0]}")/rust-version")
rustup toolchain install "$version" --profile minimal --no-self-update "$@"
rustup default "$version"
rustc --version
