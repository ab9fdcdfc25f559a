# Every task of the project. `make run` and `make test` install what they need.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/lethe/target
CARGO = . tools/env.sh && cargo

.PHONY: test run
test:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked -j2 --all-targets -- -D warnings
	$(CARGO) test --locked -j2
run:
	$(CARGO) run --locked -j2 --profile ci -- serve

# Stories told by real clients, against a freshly built server; see tests/clients/README.md.
.PHONY: clients clients-js clients-rust clients-element build-ci
clients: clients-js clients-rust clients-element
clients-js clients-rust clients-element: clients-%: build-ci
	tests/clients/run $*
build-ci:
	$(CARGO) build --locked -j2 --profile ci
