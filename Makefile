# respgate: `make demo` shows it, `make test` tests it.

CARGO ?= cargo
PORT ?= 6380

.PHONY: help demo demo-check test test-deps lint bench instructions compare profile twin echo states ledger locks readers failures drains storm failovers reshard

help:
	@echo 'make demo        build, start Redis and the gateway, show both, stay until Ctrl-C (PORT=6380)'
	@echo 'make demo-check  the same once, with every answer checked'
	@echo 'make test        install what the tests need and run all of them'
	@echo 'make lint        formatting, clippy, documentation, banned crates'
	@echo 'make instructions  counts the instructions of a request, and compares with what they were'
	@echo 'make bench       criterion benches of the machines, without sockets'
	@echo 'make twin        the long runs: see README.md (also echo, states, ledger, locks, readers, failures, drains, storm, failovers, reshard)'
	@echo "make compare     the gateway beside Redis' own TLS, HAProxy, stunnel, hitch and Envoy (docs/performance.md)"
	@echo 'make profile     where the time of a request goes: system calls, kernel, TLS, the gateway (by perf)'

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

# RESPGATE_BLESS=1 writes down what is counted. In the debug profile, but for this package: what it
# depends on is built for the tests already.
instructions:
	scripts/install-deps valgrind
	$(CARGO) bench --locked --profile dev --config benches/guard.toml --bench instructions

compare:
	bash benches/compare/run

profile:
	bash benches/compare/run profile

# The long runs. Each is a test that `make test` runs for seconds; a variable that is set already
# stays as it is.
LONG = PATH="$(CURDIR)/target/nodejs/bin:$$PATH" $(CARGO) test --locked --release --test it

twin: test-deps
	for server in $${RESPGATE_TWIN_SERVER:-redis-7.0 redis-8.2 valkey-9.1}; do \
		RESPGATE_TWIN_SERVER=$$server RESPGATE_TWIN_SESSIONS=$${RESPGATE_TWIN_SESSIONS:-1000000} \
		$(LONG) twin_servers -- --nocapture || exit 1; \
	done

echo: test-deps
	RESPGATE_ECHO_FAULT_SECONDS=$${RESPGATE_ECHO_FAULT_SECONDS:-60} $(LONG) echo_under_each -- --nocapture

states: test-deps
	RESPGATE_STATES=$${RESPGATE_STATES:-50000} $(LONG) what_random_sessions_leave -- --nocapture

ledger: test-deps
	RESPGATE_LEDGER_KILLS=$${RESPGATE_LEDGER_KILLS:-100} $(LONG) increments_are_counted -- --nocapture

locks: test-deps
	RESPGATE_LOCKS=$${RESPGATE_LOCKS:-200000} $(LONG) optimistic_locks -- --nocapture

readers: test-deps
	RESPGATE_LARGE_MIB=$${RESPGATE_LARGE_MIB:-100} $(LONG) slow_readers -- --nocapture

failures: test-deps
	RESPGATE_KILLS=$${RESPGATE_KILLS:-50} RESPGATE_STOPS=$${RESPGATE_STOPS:-20} RESPGATE_HOLES=$${RESPGATE_HOLES:-20} \
	$(LONG) a_killed_backend -- a_stopped_backend a_wire_that_is_cut --nocapture --test-threads 1

drains: test-deps
	RESPGATE_DRAINS=$${RESPGATE_DRAINS:-50} $(LONG) nobody_who_looks -- a_killed_gateway --nocapture --test-threads 1

storm: test-deps
	RESPGATE_STORM_CLIENTS=$${RESPGATE_STORM_CLIENTS:-10000} $(LONG) a_restart_under_many -- --nocapture

failovers: test-deps
	RESPGATE_FAILOVERS=$${RESPGATE_FAILOVERS:-20} $(LONG) failovers_do_nothing -- --nocapture

reshard: test-deps
	RESPGATE_RESHARD=$${RESPGATE_RESHARD:-10} RESPGATE_CLUSTER_FAILOVERS=$${RESPGATE_CLUSTER_FAILOVERS:-20} \
	$(LONG) two_hundred_slots_move -- a_master_dies_under echo_while --nocapture --test-threads 1
