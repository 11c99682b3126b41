#!/bin/sh
# Installs the Debian packages that building ("build"), making the Debian package ("deb") and testing
# ("test") need. Does nothing, and needs no network and no root, when all of them are there.
#
# usage: dist/deps.sh build [deb] [test]
set -eu

missing=""

has_package() {
    dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'
}

need_package() {
    for package in "$@"; do
        has_package "$package" || missing="$missing $package"
    done
}

# A command may come from elsewhere than Debian's package.
need_command() {
    command -v "$1" >/dev/null 2>&1 || { shift && need_package "$@"; }
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is not Debian; see the list in dist/deps.sh and install it by other means" >&2
    exit 0
fi

llhttp_missing=false
for part in "$@"; do
    case $part in
    build)
        need_command make make
        need_command gcc gcc libc6-dev
        need_command pkg-config pkg-config
        need_command curl curl ca-certificates # for the demo
        need_package libcurl4-openssl-dev libc6-dev libuv1-dev libmbedtls-dev liblmdb-dev libconfuse-dev libsodium-dev
        has_package libllhttp-dev || has_package node-llhttp || llhttp_missing=true
        ;;
    deb)
        need_package build-essential debhelper dpkg-dev pkg-config
        ;;
    test)
        need_package libcmocka-dev libjansson-dev python3-pytest python3-pytest-xdist \
            python3-yaml
        need_command clang clang
        # The sanitizers' and the fuzzer's run-time parts are a package apart from clang's.
        if ! command -v clang >/dev/null 2>&1 ||
            ! ls "$(clang -print-runtime-dir)"/libclang_rt.fuzzer* >/dev/null 2>&1; then
            need_package libclang-rt-dev
        fi
        need_command llvm-symbolizer llvm
        need_command spin spin
        need_command mandoc mandoc
        need_command node nodejs npm
        need_command npm npm
        need_command strace strace
        need_command openssl openssl
        need_package libfaketime # a wall clock that is set
        need_command jq jq # examples of the manual use it
        need_command zsh zsh # completions are tried in all three shells
        need_command fish fish
        # What looks at the Debian package, and makes machines to install it on.
        need_package python3-yaml
        need_command lintian lintian
        need_command mmdebstrap mmdebstrap
        need_command unshare util-linux
        ;;
    *)
        echo "usage: dist/deps.sh build [deb] [test]" >&2
        exit 2
        ;;
    esac
done

[ -n "$missing" ] || [ "$llhttp_missing" = true ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        $llhttp_missing && missing="$missing libllhttp-dev (or node-llhttp)"
        echo "deps: missing:$missing; install them as root" >&2
        exit 1
    fi
    as_root=sudo
fi

$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
if [ "$llhttp_missing" = true ]; then
    # Debian 13 has the library; before it, node's package ships the C sources.
    if apt-cache policy libllhttp-dev 2>/dev/null | grep -q 'Candidate: [0-9]'; then
        missing="$missing libllhttp-dev"
    else
        missing="$missing node-llhttp"
    fi
fi
echo "deps: installing$missing"
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
