# One command per task; `make` alone lists them. CI runs the same commands (.ci/run).

# Where `make install` puts things: PREFIX=/usr/local, and DESTDIR before it for a package's staging folder.
PREFIX ?= /usr/local
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/healthcare-backend

.PHONY: help run test test-upstream test-ops test-cluster test-docs test-fhir test-browser test-deps fuzz postman check bench install install-files setup
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# It needs PostgreSQL's programs only for a private PostgreSQL.
run: $(if $(value DATABASE_URL)$(shell grep -s '^DATABASE_URL=.' .env),,setup) ## build and start the server, with a private PostgreSQL unless DATABASE_URL is set
	cargo run --release

# Most tests wait for their server and their database, so two run for each core.
test: setup ## run all tests against a real PostgreSQL; the last line has the totals
	@RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(getconf _NPROCESSORS_ONLN) * 2))} sh .ci/test

test-upstream: setup ## run the API tests against the crate tiny_http, which serves on systems other than Linux
	@sh .ci/test-upstream

test-ops: setup ## run the tests with nginx, Caddy, PgBouncer, promtool, two PostgreSQLs; installs them (Debian)
	@sh tests/ops/install.sh ops
	@sh .ci/test --features ops --test ops

test-cluster: setup ## run the service on a cluster (Patroni, etcd, HAProxy, pgBackRest) through faults and upgrades, as root; installs what it needs (Debian)
	@sh tests/cluster/run.sh

test-docs: setup ## check the OpenAPI document with validators, the Postman collection and ten generated clients; installs what they need
	@sh tests/clients/run.sh

test-fhir: setup ## test /fhir/R4 with validators and clients of FHIR that others wrote; installs what it needs
	@sh tests/fhir/run.sh

test-browser: setup ## test /docs in Chromium, as wide as a phone and as a desktop; installs what it needs
	@sh tests/browser/run.sh

test-deps: ## check the dependencies: declared Rust version, licences, sources, known vulnerabilities; installs what it needs
	@sh tests/tools/dependencies.sh

# How many examples each operation gets.
EXAMPLES = 5
fuzz: setup ## run schemathesis against a running server (make fuzz EXAMPLES=5000 searches longer)
	@sh tests/fuzz/run.sh $(EXAMPLES)

postman: ## write the Postman collection to target/postman.json
	cargo run --quiet -- openapi >target/openapi.json
	node tests/clients/postman.mjs <target/openapi.json >target/postman.json
	@echo "import target/postman.json in Postman, and set its variables base_url, email, password and admin_email"

check: ## run rustfmt, clippy and rustdoc; every warning is an error
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --check
	cargo clippy --all-targets --features ops -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

bench: ## measure the server against Express, axum and PostgreSQL itself (takes forty minutes; bench/run.sh says how to run less), or with SIZES=1 on ten million patients
	@sh bench/run.sh

install: ## install the program, its systemd service and the files of deploy/ (PREFIX, DESTDIR)
	cargo build --release --locked
	@$(MAKE) --no-print-directory install-files

install-files:
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/healthcare-backend/docs" \
	    "$(DESTDIR)$(PREFIX)/share/healthcare-backend/cluster" \
	    "$(DESTDIR)/etc/systemd/system" "$(DESTDIR)/etc/sysusers.d"
	install -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/healthcare-backend"
	install -m 644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE .env.example \
	    deploy/nginx.conf deploy/Caddyfile deploy/grants.sql "$(DESTDIR)$(PREFIX)/share/healthcare-backend/"
	install -m 644 deploy/cluster/* "$(DESTDIR)$(PREFIX)/share/healthcare-backend/cluster/"
	install -m 644 docs/*.md docs/*.svg "$(DESTDIR)$(PREFIX)/share/healthcare-backend/docs/"
	sed 's|/usr/local|$(PREFIX)|g' deploy/healthcare-backend.service >"$(DESTDIR)/etc/systemd/system/healthcare-backend.service"
	chmod 644 "$(DESTDIR)/etc/systemd/system/healthcare-backend.service"
	install -m 644 deploy/healthcare-backend.sysusers "$(DESTDIR)/etc/sysusers.d/healthcare-backend.conf"

setup: ## install PostgreSQL's programs if they are missing (run and test do so themselves)
	@sh deploy/install-postgresql.sh
