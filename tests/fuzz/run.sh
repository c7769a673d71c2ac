#!/bin/sh
# schemathesis against a server of its own, once as a user and once as an admin.
#
#   sh tests/fuzz/run.sh [EXAMPLES]      examples an operation, 20 by default
#
# All checks, stateful links, a fixed seed. What it needs is installed into target/tools/python.
set -u
cd "$(dirname "$0")/../.." || exit 1

if [ -z "${BASE_URL:-}" ]; then
    sh tests/tools/install.sh python || exit 1
    # The examples of the document know the usual password; nothing here may change it by chance. Wrong ones lock nobody.
    export PASSWORD="a horse of the fuzzer" LOGIN_MAX_FAILURES=1000000 LOGIN_MAX_FAILURES_TOTAL=1000000
    exec sh tests/tools/with-server.sh sh tests/fuzz/run.sh "$@"
fi

result=0
for email in "$USER_EMAIL" "$ADMIN_EMAIL"; do
    echo "as $email"
    FUZZ_EMAIL=$email SCHEMATHESIS_HOOKS=hooks PYTHONPATH=tests/fuzz \
        target/tools/python/bin/schemathesis --config-file tests/fuzz/schemathesis.toml run "$BASE_URL/openapi.json" \
        --checks all --max-examples "${1:-20}" --seed 6 --request-timeout 20 </dev/null || result=1
done
exit $result
