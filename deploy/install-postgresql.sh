#!/bin/sh
# Installs PostgreSQL's server programs where they are missing, with the system's own package manager.
#
#   sh deploy/install-postgresql.sh
#
# `make run` (unless DATABASE_URL is set) and `make test` call it first. It does nothing if the programs are there, and asks nothing.
# If it is not root, it uses sudo. Its exit code is 0 if the programs are there at the end; otherwise it prints one line, and its exit
# code is 1. It makes no database and starts no service: the server, or a test, runs a private PostgreSQL of its own.
set -u

# The same places as src/private_postgres/programs.rs.
installed() {
    old_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        complete "$folder" && { IFS=$old_ifs; return 0; }
    done
    IFS=$old_ifs
    if command -v pg_config >/dev/null 2>&1 && complete "$(pg_config --bindir 2>/dev/null)"; then
        return 0
    fi
    for folder in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /usr/pgsql-*/bin; do
        complete "$folder" && return 0
    done
    return 1
}

complete() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] && [ -x "$1/pg_ctl" ]
}

fail() {
    echo "install-postgresql.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Without root and without sudo, it prints the whole command for root and changes nothing.
may_become_root() {
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1
}

# Debian's package makes a cluster of its own and starts it as a service. A configuration file prevents that, for this installation
# only: it is removed afterwards.
install_with_apt() {
    drop_in=/etc/postgresql-common/createcluster.d/healthcare-backend.conf
    as_root mkdir -p "${drop_in%/*}"
    echo "create_main_cluster = false" | as_root tee "$drop_in" >/dev/null
    as_root apt-get update -q </dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql </dev/null
    result=$?
    as_root rm -f "$drop_in"
    return $result
}

installed && exit 0

if ! may_become_root && ! command -v brew >/dev/null 2>&1; then
    fail "PostgreSQL's programs are missing, and installing them takes root: as root, run \`sh $(cd "$(dirname "$0")" && pwd)/install-postgresql.sh\`"
fi
echo "PostgreSQL's programs are missing; installing them."
if command -v apt-get >/dev/null 2>&1; then
    install_with_apt
elif command -v dnf >/dev/null 2>&1; then
    as_root dnf install -y postgresql-server postgresql-contrib </dev/null
elif command -v apk >/dev/null 2>&1; then
    as_root apk add postgresql postgresql-contrib </dev/null
elif command -v pacman >/dev/null 2>&1; then
    as_root pacman -S --noconfirm --needed postgresql </dev/null
elif command -v brew >/dev/null 2>&1; then
    brew install postgresql@17 </dev/null
fi || fail "the installation failed; install PostgreSQL's server package by hand, then run this again"

installed || fail "PostgreSQL's programs (initdb, postgres, pg_ctl) are still missing after the installation: reinstall the package that has them (on Debian postgresql-VERSION; apt list --installed 'postgresql-*' names it), or set DATABASE_URL to a PostgreSQL of your own"
