#!/bin/sh
# Installs `encoderfile`, the command line: finds the archive for this machine in a release, verifies it, unpacks it.
#
#   curl -fsSL https://raw.githubusercontent.com/encoderfile/encoderfile/main/install.sh | sh
#   sh install.sh --help
#
# For any POSIX shell. Everything is in functions, and the last line, which means something only as a whole, calls the first:
# a script that was cut off while it was downloaded does nothing.
set -eu

# The project's public keys, one a line: those of registry/trusted-keys.pub. There is none yet.
PROJECT_KEYS=''

usage() {
    cat <<'USAGE'
Installs the command line `encoderfile`.

Usage: install.sh [OPTIONS]

Options:
      --version VERSION    Release to install, such as 0.1.0 [default: the latest]
      --to DIR             Directory for the executable [default: $XDG_BIN_HOME or ~/.local/bin]
      --source URL-OR-DIR  Mirror with the layout URL/v{version}/, or a directory that has it or holds one release's files
                           [env: ENCODERFILE_BASE_BINARY_BASE_URL]
      --trusted-key KEY    minisign public key or its file; repeat it for several. The signature must then be checked,
                           which needs `minisign` [env: ENCODERFILE_TRUSTED_KEYS, separated by commas]
      --require-signature  Install nothing of which no signature was checked, for want of a key or of `minisign`
      --target TARGET      Target triple [default: this machine's]
  -h, --help               Print this

Also heeded: ENCODERFILE_GITHUB_REPO (owner/name) and GITHUB_SERVER_URL, as by `encoderfile` itself.

Exit codes: 0 done, 1 failed, 2 usage, 3 not available, 4 verification failed, 5 network.
USAGE
}

main() {
    # Whatever one function leaves to another is set here: variables of these names may come from the environment.
    version='' source=${ENCODERFILE_BASE_BINARY_BASE_URL:-} keys=${ENCODERFILE_TRUSTED_KEYS:-} target='' host=''
    required='' work='' from='' archive='' size='' sha256='' verified='' unverified=''
    another_server=''
    to=${XDG_BIN_HOME:-${HOME:+$HOME/.local/bin}}
    while [ $# -gt 0 ]; do
        option=$1
        case $option in
        -h | --help) usage && exit 0 ;;
        --require-signature) required=yes && shift && continue ;;
        --*=*)
            value=${option#*=} option=${option%%=*}
            shift
            ;;
        --*)
            [ $# -ge 2 ] || fail 2 "\`$option\` needs a value" "\`--help\` lists the options"
            value=$2
            shift 2
            ;;
        *) fail 2 "unexpected argument \`$option\`" "\`--help\` lists the options" ;;
        esac
        [ -n "$value" ] || fail 2 "\`$option\` needs a value, and it is empty" "leave it out for its default"
        case $option in
        --version)
            version=${value#v}
            case $version in
            *[!0-9A-Za-z.+-]* | [!0-9]* | '')
                fail 2 "\`$value\` is not a version: expected one such as 0.1.0" "without \`--version\` it is the latest"
                ;;
            esac
            ;;
        --to) to=$value ;;
        --source) source=$value ;;
        --trusted-key) keys=$keys${keys:+,}$value ;;
        --target) target=$value ;;
        --require-signature) fail 2 "\`$option\` takes no value" ;;
        *) fail 2 "no option \`$option\`" "\`--help\` lists the options" ;;
        esac
    done
    case $to in
    '') fail 2 "neither HOME nor XDG_BIN_HOME is set" "name a directory with \`--to\`" ;;
    '~'*) fail 2 "no shell has expanded the tilde of \`$to\`" \
        "write \`\$HOME/…\` instead, or \`./$to\` for a directory of that name" ;;
    esac

    if [ -z "$target" ]; then
        host=$(find_host) || exit
        target=$host
    else
        # What is not for this machine may be asked for on any other.
        host=$(find_host 2>/dev/null) || host=''
    fi
    find_tools
    gather_keys
    check_minisign
    place
    # What is believed without a signature is believed because of where it came from.
    if [ "$download" = other_wget ] && [ "$protocols" = '=https' ] && [ -n "$unchecked" ]; then
        fail 1 "this \`wget\` is not GNU's and may not verify certificates, and no signature is going to be checked" \
            "install \`curl\`, or \`minisign\` and name a key with \`--trusted-key\`"
    fi

    case $to in
    /*) ;;
    *) to=$(pwd)/$to ;;
    esac
    mkdir -p "$to" || fail 1 "cannot make the directory \`$to\`"
    # As it is written on PATH: without `..`, or a slash at its end.
    to=$(CDPATH='' cd "$to" && pwd) || fail 1 "cannot enter the directory \`$to\`"
    # `mv` would move the program into it.
    if [ -d "$to/encoderfile" ]; then
        fail 1 "cannot install \`$to/encoderfile\`: there is a directory of that name" \
            "remove it, or name another directory with \`--to\`"
    fi
    # What runs left that were killed, if it is the user's own. No run takes a day, so nobody is at work there.
    find "$to"/.encoderfile-install.?????? -prune -type d -user "$(id -u)" -mtime +0 -exec rm -rf {} + 2>/dev/null || :
    # Beside its destination, so that the last step is a rename on one file system.
    work=$(mktemp -d "$to/.encoderfile-install.XXXXXX") || fail 1 "cannot write to \`$to\`" "name another directory with \`--to\`"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    get_index
    get_archive
    unpack
    mv -f "$work/encoderfile" "$to/encoderfile" || fail 1 "cannot write \`$to/encoderfile\`"
    say "installed encoderfile $version"
    say "  file:     $to/encoderfile"
    say "  from:     $from/$archive"
    say "  verified: $verified"
    [ "$target" = "$host" ] || say "  target:   $target, which is not this machine's: it was not tried"
    [ -z "$unverified" ] || say "warning: $unverified"
    [ "$target" != "$host" ] || look_for_it
}

# Says where somebody gets another program, or none, who types its name.
look_for_it() {
    other=$(command -v encoderfile || :)
    # shellcheck disable=SC3013 # in POSIX since 2024, and in shells long before
    if [ -z "$other" ]; then
        say "hint: \`$to\` is not on PATH: export PATH=\"$to:\$PATH\""
    elif ! [ "$other" -ef "$to/encoderfile" ]; then
        say "warning: another \`encoderfile\` comes first on PATH: $other"
        say "hint: remove it, or put \`$to\` before it: export PATH=\"$to:\$PATH\""
    fi
}

say() {
    printf '%s\n' "$1" >&2
}

# fail CODE MESSAGE [HINT]
fail() {
    say "error: $2"
    [ $# -lt 3 ] || say "hint: $3"
    exit "$1"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# --- which archive, and with which tools

# Prints this machine's target.
find_host() {
    system=$(uname -s) machine=$(uname -m)
    case $machine in
    x86_64 | amd64) architecture=x86_64 ;;
    aarch64 | arm64) architecture=aarch64 ;;
    *) architecture='' ;;
    esac
    case $system in
    Linux) platform=unknown-linux-gnu ;;
    Darwin) platform=apple-darwin ;;
    *) platform='' ;;
    esac
    if [ -z "$architecture" ] || [ -z "$platform" ]; then
        fail 3 "there is no \`encoderfile\` for $system on $machine" \
            "releases are for Linux and macOS on x86_64 and aarch64; elsewhere, build it from source"
    fi
    # A 32-bit user land on a 64-bit kernel.
    if [ "$system" = Linux ] && has getconf && [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ]; then
        fail 3 "there is no \`encoderfile\` for 32-bit systems, and this one is, on a 64-bit kernel ($machine)"
    fi
    # What runs under Rosetta says that it is an Intel machine.
    if [ "$system" = Darwin ] && [ "$architecture" = x86_64 ] &&
        [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then
        architecture=aarch64
    fi
    if [ "$system" = Linux ] && [ -z "$(find_glibc)" ] && [ -n "$(find_musl)" ]; then
        fail 3 "this system's C library is musl ($(find_musl)), and \`encoderfile\` needs glibc" \
            "use a system or an image with glibc, such as \`debian:bookworm-slim\`"
    fi
    echo "$architecture-$platform"
}

# Prints the version of glibc, or nothing where that cannot be told.
find_glibc() {
    getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p'
}

# Prints by what it is known that this is a musl system.
find_musl() {
    case $(ldd --version 2>&1 || :) in
    *musl*) echo 'says ldd' && return ;;
    esac
    for loader in /lib/ld-musl-*.so.1; do
        [ ! -e "$loader" ] || [ -e /lib64/ld-linux-x86-64.so.2 ] || [ -e /lib/ld-linux-aarch64.so.1 ] || echo "$loader"
    done
}

# Before anything is downloaded: all that is needed must be there.
find_tools() {
    if [ -d "$source" ]; then
        download=copy
    elif has curl; then
        download=curl
    elif has wget; then
        case $(wget --version 2>/dev/null) in
        'GNU Wget'*) download=wget ;;
        *) download=other_wget ;;
        esac
    else
        fail 1 "neither \`curl\` nor \`wget\` is installed"
    fi
    if has sha256sum; then
        hasher=sha256sum
    elif has shasum; then
        hasher='shasum -a 256'
    elif has openssl; then
        hasher='openssl dgst -sha256 -r'
    else
        fail 1 "nothing here computes SHA-256: no \`sha256sum\`, \`shasum\` or \`openssl\`"
    fi
    if has zstd; then
        unpacker=zstd
    elif has tar && tar --version 2>/dev/null | grep -q 'bsdtar.*zstd'; then
        unpacker=bsdtar
    elif has python3 && python3 -c 'import compression.zstd' 2>/dev/null; then
        unpacker=python
    else
        fail 1 "nothing here unpacks zstd: no \`zstd\`, no \`tar\` that knows it, no Python 3.14" \
            "install it: \`apt-get install zstd\`, \`dnf install zstd\`, \`brew install zstd\`"
    fi
}

# Sets `keys` to public keys, one a line: the user's, else the project's.
gather_keys() {
    if [ -z "$keys" ]; then
        keys=$PROJECT_KEYS
        return
    fi
    # Who names a key wants it to count.
    given=$keys keys='' required=yes
    while [ -n "$given" ]; do
        key=${given%%,*}
        case $given in
        *,*) given=${given#*,} ;;
        *) given='' ;;
        esac
        [ -n "$key" ] || continue
        if [ -f "$key" ]; then
            found=$(sed -n 's/^\(RW[0-9A-Za-z+/=]*\)[[:space:]]*$/\1/p' "$key")
            [ -n "$found" ] || fail 2 "no minisign public key in \`$key\`"
            key=$found
        fi
        case $key in
        RW*) keys="$keys$key
" ;;
        *) fail 2 "cannot read trusted key \`$key\`: neither a minisign public key nor a file" ;;
        esac
    done
}

# Sets `unchecked` to why no signature can be checked, or to nothing.
check_minisign() {
    unchecked=''
    if [ -z "$keys" ]; then
        unchecked='no key is known' hint="name one with \`--trusted-key\`"
    elif ! has minisign; then
        unchecked="\`minisign\` is not installed"
        hint="install it: \`apt-get install minisign\`, \`brew install minisign\`"
    elif ! cause=$(minisign -v 2>&1); then
        # Where it does not start, such as for want of libsodium, it does not verify anything, which is nobody's tampering.
        unchecked="\`minisign\` does not run here ($(printf '%s\n' "$cause" | head -n 1))" hint="install it again"
    fi
    if [ -n "$unchecked" ] && [ -n "$required" ]; then
        fail 1 "no signature can be checked, since $unchecked" "$hint"
    fi
}

# --- download

# fetch FILE [optional]: from `$from` into the working directory. Returns 1 where there is none, which is no error if it is
# optional.
fetch() {
    # Several hundred times what an index takes, several times what a command line does.
    case $1 in
    *.tar.zst) most=67108864 ;;
    *) most=1048576 ;;
    esac
    status=0
    bounded "$most" "$work/$1" transfer "$from/$1" 2>"$work/message" || status=$?
    case $status in
    0) return ;;
    200) fail 5 "cannot download $from/$1: it is larger than $most bytes, as nothing of a release is" ;;
    esac
    # Neither headers, which are indented, nor addresses, nor the time.
    cause=$(sed -e '/^[[:space:]]/d' -e '/^https\{0,1\}:/d' -e '/^$/d' -e 's/^[0-9][0-9-]* [0-9:]* //' "$work/message" | head -n 1)
    case $download in
    copy) [ -e "$from/$1" ] && code='' || code=404 ;;
    curl) code=$(sed -n 's/.*returned error: \([0-9]*\).*/\1/p' "$work/message") ;;
    *) code=$(sed -n 's/.*HTTP\/[0-9.]* \([0-9]*\).*/\1/p' "$work/message" | sed -n '$p') ;;
    esac
    case ${2:-},$code in
    # 403 is what some stores say of anything that they do not have.
    optional,404 | optional,403) return 1 ;;
    esac
    if [ "$code" = 404 ]; then
        hint="is there such a release? \`--version\` and \`--source\` choose another"
        fail 3 "there is no $from/$1${cause:+ ($cause)}" "${another_server:-$hint}"
    fi
    fail 5 "cannot download $from/$1: ${cause:-$download failed} (exit $status)" \
        "nothing was installed; ${another_server:-run it again}"
}

# transfer URL-OR-FILE: to standard output.
# shellcheck disable=SC2329 # called by `bounded`
transfer() {
    case $download in
    copy) cat "$1" ;;
    curl)
        curl --proto "$protocols" --proto-redir "$protocols" --silent --show-error --location --max-redirs 5 \
            --connect-timeout 30 --speed-time 60 --speed-limit 1 --max-filesize "$most" --fail "$1"
        ;;
    wget)
        LC_ALL=C wget --no-verbose --server-response --tries=1 --timeout=60 --max-redirect=5 --output-document=- "$1" ||
            return
        # It follows redirections to plain HTTP, whatever it is told: `--https-only` is for its recursion. So it is noticed
        # afterwards; before the first such step nobody can have hidden it.
        [ "$protocols" = '=https' ] || return 0
        elsewhere=$(sed -n 's/^ *[Ll]ocation: *\([A-Za-z][A-Za-z0-9+.-]*:.*\)/\1/p' "$work/message" |
            sed '/^[Hh][Tt][Tt][Pp][Ss]:/d' | head -n 1)
        [ -n "$elsewhere" ] || return 0
        printf 'redirected to %s, which is not HTTPS\n' "$elsewhere" >"$work/message"
        return 4
        ;;
    other_wget) wget -q -T 60 -O - "$1" ;;
    esac
}

# bounded MOST FILE COMMAND...: what the command prints into the file. Returns its status, or 200 where it is more than so many
# bytes, of which no more are written: nobody fills this disk.
bounded() {
    limit=$1 file=$2
    shift 2
    {
        "$@" && echo 0 >"$work/status" || echo $? >"$work/status"
    } | head -c $((limit + 1)) >"$file" || return
    [ $(($(wc -c <"$file"))) -le "$limit" ] || return 200
    return "$(cat "$work/status")"
}

# Sets `from`, where the files of a release are.
place() {
    protocols='=https'
    case $source in
    '')
        server=${GITHUB_SERVER_URL:-https://github.com}
        # GitHub Enterprise sets it for its runners, and has what it was given, which may not be this.
        [ "${server%/}" = https://github.com ] ||
            another_server="GITHUB_SERVER_URL is \`$server\`: \`env -u GITHUB_SERVER_URL …\` takes the release from github.com"
        releases=${server%/}/${ENCODERFILE_GITHUB_REPO:-encoderfile/encoderfile}/releases
        if [ -n "$version" ]; then from=$releases/download/v$version; else from=$releases/latest/download; fi
        ;;
    *)
        source=${source%/}
        if [ "$download" = copy ] && [ -f "$source/base-index.json" ]; then
            from=$source
        elif [ -n "$version" ]; then
            from=$source/v$version
        else
            fail 2 "the source \`$source\` does not say which release is the latest" "name one with \`--version\`"
        fi
        ;;
    esac
    case $from in
    https://*) ;;
    http://127.0.0.1[:/]* | http://localhost[:/]* | http://\[::1\][:/]*) protocols='=http,https' ;;
    *://*) fail 2 "\`$from\` is not HTTPS" ;;
    *) [ "$download" = copy ] || fail 2 "\`$source\` is neither a directory nor an HTTPS URL" ;;
    esac
}

# --- verification

get_index() {
    fetch base-index.json
    # Written by a program, one value a line. What is wrong in it is found out by what follows.
    named=$(sed -n 's/^  "version": "\([0-9A-Za-z.+-]*\)",\{0,1\}$/\1/p' "$work/base-index.json")
    # A page to log in at, say.
    [ -n "$named" ] || fail 4 "$from/base-index.json is not the index of a release" "${another_server:-nothing was installed}"
    if [ -n "$version" ] && [ "$version" != "$named" ]; then
        fail 4 "$from/base-index.json is the index of version $named, not of $version"
    fi
    if [ -z "$version" ]; then
        version=$named
        # From now on that release, even if a newer one becomes the latest meanwhile.
        [ -n "$source" ] || place
    fi

    verified="SHA-256 of the archive, from the release's index" unverified=''
    if [ -n "$unchecked" ]; then
        unverified="no signature was checked, since $unchecked: that the project made these files is proven by nothing but where they came from"
    else
        check_signature base-index.json "encoderfile base-index v$version"
        verified="signatures of index and archive by $key, and SHA-256 of the archive"
    fi

    entry=$(index_entry "$work/base-index.json" cli)
    # shellcheck disable=SC2086 # three words without spaces
    set -- $entry
    [ $# = 3 ] || fail 3 "release $version has no \`encoderfile\` for $target"
    archive=$1 size=$2 sha256=$3
    [ "$archive" = "encoderfile-$target.tar.zst" ] || fail 4 "the index names an unexpected archive, \`$archive\`"
}

# index_entry FILE PART: name, size and SHA-256 of what the index has for the target.
index_entry() {
    awk -v target="    \"$target\": {" -v part="      \"$2\": {" '
        function value(line) {
            sub(/^ *"[a-z0-9]*": "?/, "", line)
            sub(/"?,?$/, "", line)
            return line
        }
        $0 == target { inside = 1; next }
        /^    }/ { inside = 0 }
        inside && $0 == part { found = 1; next }
        found && /^      }/ { exit }
        found && /"name":/ { name = value($0) }
        found && /"size":/ { size = value($0) }
        found && /"sha256":/ { sha256 = value($0) }
        END {
            if (name ~ /^[A-Za-z0-9_.-]+$/ && size ~ /^[0-9]+$/ && length(sha256) == 64 && sha256 ~ /^[0-9a-f]+$/)
                print name, size, sha256
        }
    ' "$1"
}

# check_signature FILE COMMENT: by one of the keys, with exactly this trusted comment. While one key takes the place of another,
# both sign, and each signature but the first has the name FILE.{key id}.minisig.
check_signature() {
    signers='' trusted=''
    if fetch "$1.minisig" optional && is_signed "$1" "$1.minisig" "$2"; then return; fi
    for key in $keys; do
        id=$(key_id "$key")
        trusted="$trusted${trusted:+, }$id"
        if fetch "$1.$id.minisig" optional && is_signed "$1" "$1.$id.minisig" "$2"; then return; fi
    done
    [ -n "$signers" ] || fail 3 "there is no signature of $from/$1, neither $1.minisig nor one by key $trusted"
    fail 4 "$from/$1 is signed by key $signers, which is not trusted (trusted: $trusted)" \
        "nothing was installed; if the project has another key by now, name it with \`--trusted-key\`, from a place of which you are sure"
}

# is_signed FILE SIGNATURE COMMENT: whether a trusted key signed it; if so, `key` is that key. Fails where one is said to have
# signed other bytes.
is_signed() {
    signer=$(key_id "$(sed -n 2p "$work/$2")")
    [ -n "$signer" ] || fail 4 "$from/$2 is not a minisign signature" "nothing was installed"
    is_known=''
    # An id is only 64 bits that its owner chooses: two keys may share one.
    for key in $keys; do
        [ "$(key_id "$key")" = "$signer" ] || continue
        is_known=yes
        comment=$(minisign -V -H -Q -P "$key" -m "$work/$1" -x "$work/$2" 2>"$work/message") || continue
        [ "$comment" = "$3" ] || fail 4 "the signature of $from/$1 is one of other bytes: it says \`$comment\`, not \`$3\`"
        return
    done
    if [ -n "$is_known" ]; then
        cause=$(head -n 1 "$work/message")
        fail 4 "the signature of $from/$1 by key $signer does not match the file: one of them was changed${cause:+ ($cause)}" \
            "nothing was installed"
    fi
    signers="$signers${signers:+, }$signer"
    return 1
}

# key_id LINE: of a public key or a signature in base64, the id as minisign prints it: bytes 3 to 10, from the last to the first,
# in hexadecimal. Nothing where it is none. Not every system has a program for base64.
key_id() {
    printf '%s\n' "$1" | awk '{
        digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (i = 1; i <= 16; i++) {
            digit = length($0) < i ? 0 : index(digits, substr($0, i, 1))
            if (digit == 0) exit
            group = group * 64 + digit - 1
            if (i % 4 == 0) {
                bytes = bytes sprintf("%06X", group)
                group = 0
            }
        }
        for (i = 10; i > 2; i--) id = id substr(bytes, 2 * i - 1, 2)
        print id
    }'
}

get_archive() {
    fetch "$archive"
    found=$(wc -c <"$work/$archive" | tr -d ' ')
    [ "$found" = "$size" ] || fail 4 "$from/$archive has $found bytes, and the index says $size" "nothing was installed"
    found=$($hasher "$work/$archive") || fail 1 "\`$hasher\` failed"
    found=${found%% *}
    if [ "$found" != "$sha256" ]; then
        say "error: $from/$archive does not match the release's index"
        say "  expected: sha256 $sha256"
        say "  found:    sha256 $found"
        say "hint: nothing was installed"
        exit 4
    fi
    case $verified in
    signatures*) check_signature "$archive" "encoderfile $archive v$version" ;;
    esac
}

# --- installation

unpack() {
    # Many times what it takes, and little enough that a few bytes which unpack to very many do no harm.
    most=268435456
    packed=$work/$archive tarball=$work/archive.tar
    case $unpacker in
    zstd) set -- zstd -dcq "$packed" ;;
    python) set -- python3 -c 'import shutil, sys; from compression import zstd
with zstd.open(sys.argv[1]) as packed: shutil.copyfileobj(packed, sys.stdout.buffer)' "$packed" ;;
    bsdtar) set -- && tarball=$packed ;;
    esac
    status=0
    [ $# = 0 ] || bounded "$most" "$tarball" "$@" || status=$?
    # One member, by its name, and of that nothing but the bytes: where it is a link, these are none.
    [ $status != 0 ] || bounded "$most" "$work/encoderfile" tar -xOf "$tarball" encoderfile || status=$?
    case $status in
    0) [ -s "$work/encoderfile" ] || fail 4 "\`encoderfile\` in \`$archive\` is not a file, or it is empty" ;;
    200) fail 4 "\`$archive\` unpacks to more than $most bytes, as no release does" "nothing was installed" ;;
    *) fail 1 "\`$archive\` cannot be unpacked, or holds no \`encoderfile\`" "nothing was installed" ;;
    esac
    chmod 755 "$work/encoderfile"
    runs_here
}

# For another machine it cannot be tried.
runs_here() {
    [ "$target" = "$host" ] || return 0
    glibc=$(find_glibc)
    if [ -n "$glibc" ]; then
        floor=$(awk -v target="    \"$target\": {" '
            $0 == target { inside = 1; next }
            /^    }/ { inside = 0 }
            inside && /"glibc":/ { gsub(/[^0-9.]/, ""); print; exit }' "$work/base-index.json")
        if older "$glibc" "${floor:-0.0}"; then
            say "warning: this system's glibc $glibc is older than $floor, which files need that are built for $target"
        fi
    fi
    cause=$("$work/encoderfile" --version 2>&1) && return
    fail 1 "\`encoderfile\` for $target does not run here: $(printf '%s' "$cause" | head -n 1)" \
        "this system has ${glibc:+glibc $glibc, }$(uname -srm); nothing was installed"
}

# older A B: whether the version A (major.minor) is before B.
older() {
    [ "${1%%.*}" -lt "${2%%.*}" ] || { [ "${1%%.*}" = "${2%%.*}" ] && [ "${1##*.}" -lt "${2##*.}" ]; }
}

{ main "$@"; exit; }
