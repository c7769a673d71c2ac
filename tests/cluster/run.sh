#!/bin/sh
# Runs the test of the cluster in a network of its own: `make test-cluster`. Ends with one line of totals: `1 passed, 0 failed`.
#
#   sh tests/cluster/run.sh
#
# The test's machines are namespaces of the kernel: addresses, ports, processes and mounts of their own. The whole run is one as well, and
# ends with all that it has started, however it ends. Without root, or where the kernel or the container makes no namespaces, it is skipped.
set -u
cd "$(dirname "$0")/../.." || exit 1

skip() {
    echo "skipped: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
[ "$(uname)" = Linux ] || skip "the machines of this test are namespaces of Linux"
[ "$(id -u)" -eq 0 ] || skip "the machines of this test are namespaces, and making them takes root"
sh tests/ops/install.sh cluster || exit 1
alone() {
    unshare --net --mount --uts --pid --fork --kill-child --mount-proc -- "$@"
}
alone sh -c 'ip link add lan type bridge && ip link add one type veth peer name other' 2>/dev/null ||
    skip "no namespaces, bridges or pairs of network devices here (a container needs --privileged)"

# Building may need the network, which the test has not.
cargo test --no-run --features ops --test cluster || {
    echo "0 passed, 1 failed"
    exit 1
}
folder=$(mktemp -d /tmp/healthcare-cluster-XXXXXX) || exit 1
running=
trap '[ -z "$running" ] || kill -9 "$running"; rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$folder"
CLUSTER_FOLDER=$folder alone sh .ci/test --offline --features ops --test cluster -- --nocapture &
running=$!
wait "$running"
result=$?
running=
exit "$result"
