# Every task of the project. `make run` and `make test` install what they need.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/lethe/target
CARGO = . tools/env.sh && cargo

.PHONY: test run
test:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked -j2 --workspace --all-targets -- -D warnings
	$(CARGO) test --locked -j2 --workspace
run:
	$(CARGO) run --locked -j2 --profile ci -- serve

# Stories told by real clients, against a freshly built server; see tests/clients/README.md.
.PHONY: clients clients-js clients-rust clients-element clients-nio clients-days build-ci
clients: clients-js clients-rust clients-element clients-nio clients-days
clients-js clients-rust clients-element clients-nio: clients-%: build-ci
	tests/clients/run $*
# Rooms whose messages have all expired: the server's clock is moved by months.
clients-days: build-ci
	tests/clients/run days-js
	tests/clients/run days-rust
# The encrypted part of the story over a day-old backup that the server is set back to.
.PHONY: restore
restore: build-ci
	tests/clients/run restore
build-ci:
	$(CARGO) build --locked -j2 --profile ci

# Every answer that the stories provoke, against the specification's schemas; see tests/schema/README.md.
.PHONY: schema
schema: build-ci
	SPEC=$(abspath $(or $(SPEC),$(error SPEC=<directory of the specification's definitions>))) tests/schema/run $(CLIENTS)

# Trials of a real process; see README.md, "Trials".
TRIALS = $(CARGO_TARGET_DIR)/ci/trials --binary $(CARGO_TARGET_DIR)/ci/lethe
.PHONY: crash canaries build-trials build-unsealed
build-trials:
	$(CARGO) build --locked -j2 --profile ci --package lethe --package trials
crash: build-trials
	$(TRIALS) crash --rounds 100
	command -v strace >/dev/null || apt-get install -y -qq strace || sudo apt-get install -y -qq strace
	$(TRIALS) trace --writes 50
	LETHE_PROOF_RUNS=100 $(CARGO) test --locked -j2 --lib engine::proof
canaries: build-trials build-unsealed
	$(TRIALS) canaries --unsealed $(UNSEALED)
# A build that seals nothing: what the canaries and the cost of sealing are compared with.
UNSEALED = $(CARGO_TARGET_DIR)-unsealed/ci/lethe
build-unsealed:
	RUSTFLAGS='--cfg lethe_unsealed --cfg poly1305_backend="soft"' $(CARGO) build --locked -j2 --profile ci --package lethe --target-dir $(CARGO_TARGET_DIR)-unsealed

# Every way in which a clock can be wrong, and what comes of it; see README.md, "Trials".
.PHONY: clock
clock:
	$(CARGO) test --locked -j2 --lib engine::tests::clock -- --nocapture

# Bad input to a real server, and the search for input that breaks a parser; see README.md, "Trials".
.PHONY: hostile fuzz fuzz-seeded
hostile: build-trials
	$(TRIALS) hostile
fuzz:
	tools/fuzz.sh run $(or $(SECONDS),60) $(TARGETS)
fuzz-seeded:
	tools/fuzz.sh seeded $(or $(SECONDS),300) $(TARGETS)

# Whoever takes the disk finds nothing of what has died; see README.md, "Trials".
.PHONY: forget
forget:
	tools/forget.sh $(or $(CANARIES),10000)

# Figures beside their budgets; see README.md, "Budgets". LIMIT=<binary of limit> adds ratios, SYNAPSE=<python> compares.
.PHONY: budgets
budgets:
	$(CARGO) build --locked -j2 --profile ci --package lethe --package bench
	$(CARGO_TARGET_DIR)/ci/bench --binary $(CARGO_TARGET_DIR)/ci/lethe $(if $(LIMIT),--limit $(LIMIT)) $(if $(SYNAPSE),--synapse $(SYNAPSE))

# Instructions of a send and of a first sync, sealed and not; needs valgrind.
.PHONY: overhead
overhead: build-unsealed
	command -v valgrind >/dev/null || apt-get install -y -qq valgrind || sudo apt-get install -y -qq valgrind
	$(CARGO) build --locked -j2 --profile ci --package lethe --package bench
	$(CARGO_TARGET_DIR)/ci/bench --binary $(CARGO_TARGET_DIR)/ci/lethe --unsealed $(UNSEALED)

# The Matrix project's suite for homeservers; see tests/complement/README.md. RUN is the output of `go test -json`.
.PHONY: complement-image complement-diff
complement-image: build-ci
	context=$$(mktemp -d) && trap 'rm -rf "$$context"' EXIT && \
	cp tests/complement/lethe.toml tests/complement/start.sh $(CARGO_TARGET_DIR)/ci/lethe "$$context" && \
	docker build --file tests/complement/Dockerfile --tag complement-lethe "$$context"
complement-diff:
	python3 tests/complement/test_complement.py --quiet
	python3 tests/complement/complement.py diff $(RUN)

# The image: built, started by compose.yaml, logged in to; see doc/operations.md.
.PHONY: image
image:
	tools/image.sh
