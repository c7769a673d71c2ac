#!/bin/sh
# Measures the server against peers of our own writing and against PostgreSQL itself: `make bench`.
#
#   sh bench/run.sh                                             everything, about forty minutes
#   ROUTES=patient CONNECTIONS=16,64 sh bench/run.sh            part of it
#   SERVERS=product,axum ROUNDS=5 SECONDS=10 sh bench/run.sh
#
# It installs what is missing (wrk, Node and Python with the system's package manager, the peers' packages with npm and cargo),
# builds everything as it is released, and hands over to bench/run.py, whose top lists what is measured and how.
#
#   ROUNDS=3            how often each measurement is taken; the report shows medians
#   SECONDS=4           how long each takes, after WARMUP=2 seconds that are not counted
#   ROUTES=…            of healthz,patient,list,create,login (a few a second: 1,16 connections say enough)
#   CONNECTIONS=…       of any numbers; 1,16,64,256
#   SERVERS=…           of product,product-no-trail,upstream,axum,axum-pipelined,axum-trail,express,
#                       express-trail,pgbench
#   EXTRAS=…            of idle,startup,size (none: EXTRAS=)
#   IDLE_CONNECTIONS=10000
#   DELAY_MS=0          PostgreSQL across TCP, through a relay; 1: each of its answers comes 1 ms later. Else its Unix socket
#   DATABASE_POOL=…     connections to PostgreSQL, for all; else the product's own default, and 10 a process for the peers
#   WORKERS=…           the product's workers and Express's processes; else their defaults (1 a core, both)
#   SIZES=1             instead of all this: what ten million patients cost (bench/sizes.py), in some three hours, with 45 GB of free
#                       disk and 16 GB of memory; each step is printed as it ends, and `restore` comes last;
#                       SIZES_USERS=100000, SIZES_PATIENTS=10000000, SIZES_MAPPINGS=1000000, SIZES_TRAIL=100000000 say how many
#   SKIP_BUILD=1        takes the programs that are there; PRODUCT, UPSTREAM and AXUM name others
#
# All traffic stays on 127.0.0.1; files go to target/ and to a temporary folder that is removed.
set -u
cd "$(dirname "$0")/.." || exit 1

fail() {
    echo "bench/run.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "as root, run: $*"
    fi
}

missing=
command -v python3 >/dev/null 2>&1 || missing="$missing python3"
if [ -z "${SIZES:-}" ]; then
    command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
    command -v node >/dev/null 2>&1 || missing="$missing nodejs"
    command -v npm >/dev/null 2>&1 || missing="$missing npm"
fi
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || fail "install these first:$missing"
    # shellcheck disable=SC2086 # a list of words
    as_root apt-get update -q </dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null ||
        fail "the installation failed:$missing"
fi
sh deploy/install-postgresql.sh || exit 1

if [ -z "${SKIP_BUILD:-}" ]; then
    cargo build --release || exit 1
fi
[ -z "${SIZES:-}" ] || exec python3 bench/sizes.py
if [ -z "${SKIP_BUILD:-}" ]; then
    case ",${SERVERS:-upstream}," in
        *,upstream,*) cargo build --release --features upstream-tiny-http --target-dir target/upstream || exit 1 ;;
    esac
    case ",${SERVERS:-axum},${DELAY_MS:+axum}," in
        *,axum*) cargo build --release --manifest-path bench/axum/Cargo.toml --target-dir target/peer-axum || exit 1 ;;
    esac
    case ",${SERVERS:-express}," in
        *,express*) (cd bench/express && npm install --omit=dev --no-package-lock --no-fund --no-audit) || exit 1 ;;
    esac
fi

exec python3 bench/run.py
