#!/bin/sh
# Installs what `make test-ops` or `make test-cluster` needs beside PostgreSQL, with Debian's package manager.
#
#   sh tests/ops/install.sh ops|cluster
#
# It does nothing when everything is there. The packages' own services are not started: the tests run the programs themselves,
# on ports that are free and with files in the temporary directory. Ends with 0 when all programs are there, else with 1 and
# one line.
set -u

# One program a package; Debian keeps most of them out of a plain user's PATH.
PATH=$PATH:/usr/sbin:/sbin
case "${1:-}" in
    ops) pairs="pgbouncer:pgbouncer nginx:nginx-light caddy:caddy promtool:prometheus zsh:zsh dash:dash curl:curl openssl:openssl systemd-analyze:systemd msmtp:msmtp" ;;
    cluster) pairs="patroni:patroni etcd:etcd-server etcdctl:etcd-client haproxy:haproxy pgbackrest:pgbackrest openssl:openssl ip:iproute2 setpriv:util-linux" ;;
    *)
        echo "usage: sh tests/ops/install.sh ops|cluster" >&2
        exit 1
        ;;
esac
missing=
for pair in $pairs; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -z "$missing" ] && exit 0

fail() {
    echo "tests/ops/install.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "missing:$missing; as root, run: apt-get install$missing"
    fi
}

command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get here; install by hand:$missing"
echo "Installing for make test-$1:$missing"

# Debian starts a service as soon as its package is installed, unless this file forbids it.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made_policy=1
fi
# shellcheck disable=SC2086 # one word a package
as_root apt-get update -q </dev/null &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null
result=$?
[ -n "$made_policy" ] && as_root rm -f "$policy"
[ "$result" -eq 0 ] || fail "the installation failed; install by hand:$missing"
