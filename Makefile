# Every task of the project. `make run` and `make test` install what they need.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/lethe/target
CARGO = . tools/env.sh && cargo

.PHONY: test run
test:
	$(CARGO) fmt --check
	$(CARGO) test --locked -j2
run:
	$(CARGO) run --locked -j2 --release -- serve
