# One command a task; `make` alone lists them. CI runs the same ones (.ci/run).

.PHONY: help run test test-docs test-browser fuzz postman check bench setup
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

run: setup ## build and start the server, with a PostgreSQL of its own unless DATABASE_URL is set
	cargo run --release

test: setup ## run all tests, against real PostgreSQL; ends with a line of totals
	@sh .ci/test

test-docs: setup ## the OpenAPI document: validators, the Postman collection, a TypeScript client; installs what they need
	@sh tests/clients/run.sh

test-browser: setup ## /docs in chromium, at the width of a phone and of a desk; installs what it needs
	@sh tests/browser/run.sh

EXAMPLES = 5
fuzz: setup ## schemathesis against a running server; make fuzz EXAMPLES=5000 looks longer
	@sh tests/fuzz/run.sh $(EXAMPLES)

postman: ## make deploy/postman.json anew from the OpenAPI document
	cargo run --quiet -- openapi | node tests/clients/postman.mjs > deploy/postman.json

check: ## rustfmt, clippy and rustdoc, each warning an error
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

bench: setup ## measure the server against PostgreSQL itself
	@if [ -f bench/run.sh ]; then sh bench/run.sh; else echo "bench/run.sh is not there yet"; exit 1; fi

setup: ## install PostgreSQL's programs if they are missing (run and test do so themselves)
	@sh deploy/install-postgresql.sh
