# One command a task; `make` alone lists them. CI runs the same ones (.ci/run).

.PHONY: help run test check bench setup
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

run: setup ## build and start the server, with a PostgreSQL of its own unless DATABASE_URL is set
	cargo run --release

test: setup ## run all tests, against real PostgreSQL; ends with a line of totals
	@sh .ci/test

check: ## rustfmt, clippy and rustdoc, each warning an error
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

bench: ## measure the server against Express, axum and PostgreSQL itself (forty minutes; bench/run.sh: how to do less)
	@sh bench/run.sh

setup: ## install PostgreSQL's programs if they are missing (run and test do so themselves)
	@sh deploy/install-postgresql.sh
