# respgate: `make demo` shows it, `make test` tests it.

CARGO ?= cargo
PORT ?= 6380

.PHONY: help demo demo-check test test-deps lint bench compare

help:
	@echo 'make demo        build, start Redis and the gateway, show both, stay until Ctrl-C (PORT=6380)'
	@echo 'make demo-check  the same once, with every answer checked'
	@echo 'make test        install what the tests need and run all of them'
	@echo 'make lint        formatting, clippy, documentation, banned crates'
	@echo 'make bench       criterion benches of the machines, without sockets'
	@echo "make compare     the gateway beside Redis' own TLS, HAProxy, stunnel and Envoy"

# The release build takes minutes the first time; figures of a debug build mean nothing.
demo:
	scripts/install-deps redis
	$(CARGO) build --locked --release --bin respgate
	exec $${CARGO_TARGET_DIR:-target}/release/respgate demo --port $(PORT)

demo-check:
	scripts/install-deps redis
	$(CARGO) build --locked --bin respgate
	$${CARGO_TARGET_DIR:-target}/debug/respgate demo --check

test: test-deps
	PATH="$(CURDIR)/target/nodejs/bin:$$PATH" $(CARGO) test --locked

test-deps:
	scripts/install-deps redis clients
	scripts/install-node
	PATH="$(CURDIR)/target/nodejs/bin:$$PATH" bash tests/clients/install

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	scripts/banned-crates
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	else echo 'lint: cargo-deny is not installed: licences were not checked'; fi

bench:
	$(CARGO) bench --locked

compare:
	bash benches/compare/run
