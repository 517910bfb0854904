# What one does here; `make run` and `make test` are all a newcomer needs.

.PHONY: run test check bench schemathesis mcp-conformance

# Installs what is missing, builds, and shows the main job on a sample project.
run:
	@sh scripts/install-missing.sh
	cargo build --release --bin adjutant
	target/release/adjutant demo

test:
	cargo test --workspace --locked

# Everything that CI checks.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null 2>&1; then cargo deny check bans licenses sources; \
	else echo "cargo-deny is not installed; the test over the dependencies' licences still runs"; fi
	$(MAKE) test

bench:
	cargo build --release --bin adjutant
	target/release/adjutant bench flow

# What the OpenAPI document allows, and what it does not, against a daemon of its own; needs `pip install schemathesis`.
schemathesis:
	cargo build --bin adjutant
	scripts/schemathesis.sh target/debug/adjutant

# The protocol's own conformance suites against the MCP door; needs node and npx.
mcp-conformance:
	cargo build --bin adjutant
	scripts/mcp-conformance.sh
