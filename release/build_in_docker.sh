#!/usr/bin/env bash
# Builds a Linux release of this machine's architecture in release/Dockerfile, from nothing but this checkout and what the
# registries have by digest, and says which image it was built in.
#
#   release/build_in_docker.sh DIR    the archives go to DIR
set -euo pipefail
out=${1:?"the directory for the archives is missing"}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=debian:bookworm
docker pull --quiet "$image"
# By digest from here on, so that what is told is what is used.
digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$image")
docker buildx build --file release/Dockerfile --no-cache --build-arg "DEBIAN=$digest" \
    --build-arg "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)" --output "type=local,dest=$out" .
printf 'built in %s, from commit %s\n' "$digest" "$(git rev-parse HEAD)" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
