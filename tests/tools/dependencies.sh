#!/bin/sh
# What the dependencies must keep: the Rust version that Cargo.toml declares, and the rules of deny.toml.
#
#   sh tests/tools/dependencies.sh
#
# One line a check; the last line is the totals. The toolchain and cargo-deny are installed where they are missing, which takes
# some minutes. A check whose toolchain or whose database of known faults cannot be fetched is counted as skipped, never as passed.
set -u
cd "$(dirname "$0")/../.." || exit 1

sh tests/tools/install.sh deny || exit 1
PATH=$PWD/target/tools/cargo/bin:$PATH
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
passed=0
failed=0
skipped=0

check() {
    name=$1
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        cat "$log"
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "skip  $1"
    # The last lines say what could not be fetched.
    tail -n 3 "$log"
}

declared=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

has_declared() {
    cargo "+$declared" --version || timeout 300 rustup toolchain install "$declared" --profile minimal
}

build_with_declared() {
    CARGO_TARGET_DIR=target/rust-version cargo "+$declared" check --locked --lib --bins
}

has_known_faults() {
    timeout 120 cargo deny --locked fetch db
}

# Without the toolchain, clippy (incompatible_msrv) still looks for what is newer in the standard library, and a test of tidy/ for
# a dependency that asks for a newer Rust.
name="it builds with Rust $declared"
if has_declared >"$log" 2>&1 </dev/null; then
    check "$name" build_with_declared
else
    skip "$name: there is no such toolchain"
fi

for what in licenses bans sources; do
    check "deny.toml holds: $what" cargo deny --locked check "$what"
done
name="deny.toml holds: advisories"
if has_known_faults >"$log" 2>&1 </dev/null; then
    check "$name" cargo deny --locked check --disable-fetch advisories
else
    skip "$name: the database of known faults cannot be fetched"
fi

[ "$skipped" -gt 0 ] && rest=", $skipped skipped" || rest=
echo "$passed passed, $failed failed$rest"
[ "$failed" -eq 0 ]
