#!/bin/sh
# What others make of the document: two validators, a Postman collection, a TypeScript client; the last two against a server.
#
#   sh tests/clients/run.sh
#
# One line a check; the last line is the totals. What it needs is installed into target/tools.
set -u
cd "$(dirname "$0")/../.." || exit 1

if [ -z "${BASE_URL:-}" ]; then
    sh tests/tools/install.sh node python || exit 1
    exec sh tests/tools/with-server.sh sh tests/clients/run.sh
fi

tools=$PWD/target/tools
work=$tools/clients
rm -rf "$work"
mkdir -p "$work"
passed=0
failed=0

check() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        cat "$work/log"
    fi
}

redocly_is_content() {
    # Its exit code is about errors only.
    REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
        "$tools/node/node_modules/.bin/redocly" lint "$work/openapi.json" --config tests/clients/redocly.yaml --format json >"$work/redocly.json" || return 1
    cat "$work/redocly.json"
    node -e 'process.exit(JSON.parse(require("fs").readFileSync(0)).totals.warnings)' <"$work/redocly.json"
}

newman() {
    (cd "$tools/node" && node_modules/.bin/newman run "$work/postman.json" --color off --timeout-request 20000 \
        --env-var "base_url=$BASE_URL" --env-var email=postman@example.org --env-var "admin_email=$ADMIN_EMAIL" \
        --env-var "password=$PASSWORD")
}

compile() {
    cp tests/clients/session.ts tests/clients/tsconfig.json "$work/"
    echo '{ "type": "module" }' >"$work/package.json"
    ln -s ../node/node_modules "$work/node_modules"
    (cd "$work" && node_modules/.bin/openapi-typescript openapi.json -o api.ts && node_modules/.bin/tsc -p .)
}

curl --silent --fail --max-time 20 "$BASE_URL/openapi.json" >"$work/openapi.json"
check "openapi-spec-validator has nothing to say" "$tools/python/bin/openapi-spec-validator" --errors all "$work/openapi.json"
check "redocly has neither errors nor warnings" redocly_is_content
node tests/clients/postman.mjs <"$work/openapi.json" >"$work/postman.json"
check "newman runs the Postman collection" newman
check "the generated TypeScript client compiles under strict" compile
check "and holds the session of the README" node "$work/session.js"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
