#!/bin/sh
# Installs what the tests beside `cargo test` need into target/tools, in the versions that are pinned here.
#
#   sh tests/tools/install.sh node|python|browser|deny…
#
# Does nothing where it is there already.
set -u
cd "$(dirname "$0")/../.." || exit 1
tools=$PWD/target/tools
mkdir -p "$tools"

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian's packages, where a program is missing.
with_apt() {
    command -v apt-get >/dev/null 2>&1 || fail "$1 is missing; install it by hand"
    as_root apt-get update -q </dev/null >/dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >/dev/null ||
        fail "$1 cannot be installed"
}

install_python() {
    want="schemathesis==4.32.5 openapi-spec-validator==0.9.0"
    [ "$(cat "$tools/python/installed" 2>/dev/null)" = "$want" ] && return
    python3 -c 'import venv, ensurepip' 2>/dev/null || with_apt python3 python3-venv
    rm -rf "$tools/python"
    # shellcheck disable=SC2086
    python3 -m venv "$tools/python" && "$tools/python/bin/pip" install --quiet $want </dev/null || fail "pip failed"
    echo "$want" >"$tools/python/installed"
}

install_node() {
    command -v npm >/dev/null 2>&1 || with_apt nodejs npm
    cmp -s tests/tools/package.json "$tools/node/installed" && return
    rm -rf "$tools/node"
    mkdir -p "$tools/node"
    cp tests/tools/package.json "$tools/node/package.json"
    (cd "$tools/node" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error </dev/null) ||
        fail "npm failed"
    cp tests/tools/package.json "$tools/node/installed"
}

install_browser() {
    command -v chromium >/dev/null 2>&1 || with_apt chromium
    command -v zbarimg >/dev/null 2>&1 || with_apt zbar-tools
}

# Unoptimized: it is built once and runs for seconds.
install_deny() {
    want=0.20.2
    [ "$("$tools/cargo/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $want" ] && return
    cargo install cargo-deny --version "$want" --locked --debug --quiet --force --root "$tools/cargo" </dev/null ||
        fail "cargo-deny cannot be installed"
}

for part in "$@"; do
    "install_$part"
done
