#!/bin/sh
# What others make of the document: validators in both versions of OpenAPI, a Postman collection, and clients in five languages, each
# generated, compiled as strictly as its generator allows, and used for a session against a server (`sessions/`): register, log in,
# create, walk all pages, update with `If-Match`, a field error, a 404.
#
#   sh tests/clients/run.sh
#
# One line a check; the last line is the totals. What it needs is installed into target/tools. A client whose tools cannot be installed
# is named and counted as skipped.
set -u
cd "$(dirname "$0")/../.." || exit 1

if [ -z "${BASE_URL:-}" ]; then
    sh tests/tools/install.sh node python || exit 1
    MISSING=
    for part in clients java go rust; do
        sh tests/tools/install.sh "$part" || MISSING="$MISSING $part"
    done
    export MISSING
    exec sh tests/tools/with-server.sh sh tests/clients/run.sh
fi

tools=$PWD/target/tools
node=$tools/node/node_modules/.bin
python=$tools/clients-python/bin
sessions=$PWD/tests/clients/sessions
work=$tools/clients
rm -rf "$work"
mkdir -p "$work"
passed=0
failed=0
skipped=0

check() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 200 "$work/log"
        return 1
    fi
}

# client NAME LANGUAGE "PARTS": generates, compiles and uses one, in a folder of its own. LANGUAGE names the functions that do so.
client() {
    client=$1
    for part in $3; do
        case " ${MISSING:-} " in
        *" $part "*)
            skipped=$((skipped + 1))
            echo "skip  $client: $part cannot be installed"
            return
            ;;
        esac
    done
    folder=$work/$client
    mkdir -p "$folder"
    check "$client is generated" "generate_$2" && check "$client compiles" "compile_$2" && check "$client holds a session" "use_$2"
}

redocly_is_content() {
    # Its exit code is about errors only.
    REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$node/redocly" lint "$1" --format json >"$work/redocly.json" || return 1
    cat "$work/redocly.json"
    node -e 'process.exit(JSON.parse(require("fs").readFileSync(0)).totals.warnings)' <"$work/redocly.json"
}

spectral_is_content() {
    "$node/spectral" lint "$1" --ruleset tests/clients/spectral.yaml --fail-severity hint
}

newman() {
    "$node/newman" run "$work/postman.json" --color off --timeout-request 20000 \
        --env-var "base_url=$BASE_URL" --env-var email=postman@example.org --env-var "admin_email=$ADMIN_EMAIL" \
        --env-var "password=$PASSWORD"
}

# openapi_generator GENERATOR FOLDER [OPTION…]: the generator, without pages and tests.
openapi_generator() {
    generator=$1
    into=$2
    shift 2
    "$python/openapi-generator-cli" generate -i "$work/openapi.json" -g "$generator" -o "$into" \
        --global-property apiDocs=false,modelDocs=false,apiTests=false,modelTests=false "$@"
}

generate_typescript_fetch() { openapi_generator typescript-fetch "$folder/generated"; }
generate_typescript_axios() { openapi_generator typescript-axios "$folder/generated"; }
generate_hey_api() { (cd "$tools/node" && "$node/openapi-ts" -i "$work/openapi.json" -o "$folder/generated" -c @hey-api/client-fetch); }
generate_orval() { DOCUMENT=$work/openapi.json TARGET=$folder/generated/clinic.ts "$node/orval" --config tests/clients/orval.config.mjs; }
generate_openapi_fetch() { "$node/openapi-typescript" "$work/openapi.json" -o "$folder/generated/api.ts"; }

# compile_typescript SESSION [OPTION…]
compile_typescript() {
    session=$1
    shift
    cp "$sessions/$session.ts" "$sessions/shared.ts" tests/clients/tsconfig.json "$folder/"
    ln -s "$tools/node/node_modules" "$folder/node_modules"
    "$node/tsc" -p "$folder" "$@"
}
# Its own runtime reads arrays unchecked.
compile_typescript_fetch() { compile_typescript typescript_fetch; }
compile_typescript_axios() { compile_typescript typescript_axios --noUncheckedIndexedAccess; }
compile_hey_api() { compile_typescript hey_api --noUncheckedIndexedAccess; }
compile_orval() { compile_typescript orval --noUncheckedIndexedAccess --exactOptionalPropertyTypes; }
compile_openapi_fetch() { compile_typescript openapi_fetch --noUncheckedIndexedAccess --exactOptionalPropertyTypes; }

# use_typescript SESSION
use_typescript() {
    require='import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'
    "$node/esbuild" "$folder/$1.ts" --bundle --platform=node --format=esm --banner:js="$require" --outfile="$folder/session.mjs" &&
        node "$folder/session.mjs"
}
use_typescript_fetch() { use_typescript typescript_fetch; }
use_typescript_axios() { use_typescript typescript_axios; }
use_hey_api() { use_typescript hey_api; }
use_orval() { use_typescript orval; }
use_openapi_fetch() { use_typescript openapi_fetch; }

generate_python() { openapi_generator python "$folder"; }
compile_python() {
    cp "$sessions/python.py" "$folder/session.py"
    # Its templates leave parameters without types, so not --strict.
    (cd "$folder" && "$python/mypy" openapi_client session.py)
}
use_python() { "$python/python" "$folder/session.py"; }

generate_openapi_python_client() {
    "$python/openapi-python-client" generate --path "$work/openapi.json" --output-path "$folder" --overwrite
}
compile_openapi_python_client() {
    cp "$sessions/openapi_python_client.py" "$folder/session.py"
    (cd "$folder" && "$python/mypy" --strict healthcare_backend_client session.py)
}
use_openapi_python_client() { "$python/python" "$folder/session.py"; }

go_there() {
    (cd "$folder" && GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod "$tools/go/bin/go" "$@")
}
generate_go() { openapi_generator go "$folder"; }
compile_go() {
    mkdir -p "$folder/session"
    cp "$sessions/session.go" "$folder/session/main.go"
    go_there mod edit -module example.org/clinic && go_there vet . ./session && go_there build -o "$folder/used" ./session
}
use_go() { "$folder/used"; }

# The generator's own program holds the libraries that its clients need, but for one annotation.
jar() { find "$tools/clients-python/" -name openapi-generator.jar; }
generate_java() { openapi_generator java "$folder" --additional-properties library=native,openApiNullable=false; }
compile_java() {
    mkdir -p "$folder/annotation" "$folder/classes"
    echo 'package javax.annotation; public @interface Generated { String[] value(); String date() default ""; String comments() default ""; }' \
        >"$folder/annotation/Generated.java"
    find "$folder/src/main" -name '*.java' >"$folder/files"
    # Its templates call a few deprecated functions.
    javac -Xlint:all,-processing,-serial,-deprecation -Werror -cp "$(jar)" -d "$folder/classes" "$folder/annotation/Generated.java" \
        "$sessions/Session.java" "@$folder/files"
}
use_java() { java -cp "$folder/classes:$(jar)" Session; }

generate_rust() {
    cp -R tests/clients/rust/. "$folder/"
    node tests/clients/for_progenitor.mjs <"$work/openapi-3.0.json" >"$folder/openapi-3.0.json"
}
compile_rust() { CARGO_TARGET_DIR=$tools/rust-client cargo build --locked --manifest-path "$folder/Cargo.toml"; }
use_rust() { "$tools/rust-client/debug/clinic-session"; }

curl --silent --fail --max-time 20 "$BASE_URL/openapi.json" >"$work/openapi.json"
"${BINARY:-${CARGO_TARGET_DIR:-target}/debug/healthcare-backend}" openapi --version 3.0 >"$work/openapi-3.0.json"
for document in openapi openapi-3.0; do
    check "openapi-spec-validator has nothing to say of $document.json" \
        "$tools/python/bin/openapi-spec-validator" --errors all "$work/$document.json"
    check "redocly has neither errors nor warnings for $document.json" redocly_is_content "$work/$document.json"
    check "spectral has nothing to say of $document.json" spectral_is_content "$work/$document.json"
done
node tests/clients/postman.mjs <"$work/openapi.json" >"$work/postman.json"
check "newman runs the Postman collection" newman

client openapi-fetch openapi_fetch node
client hey-api hey_api node
client orval orval node
client openapi-generator-typescript-fetch typescript_fetch "clients java"
client openapi-generator-typescript-axios typescript_axios "clients java"
client openapi-generator-python python "clients java"
client openapi-python-client openapi_python_client clients
client openapi-generator-go go "clients java go"
client openapi-generator-java java "clients java"
client progenitor rust rust

[ "$skipped" -gt 0 ] && rest=", $skipped skipped" || rest=
echo "$passed passed, $failed failed$rest"
[ "$failed" -eq 0 ]
