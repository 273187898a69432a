# Thin: the work is done by cargo, npm and scripts/. `make help` lists the targets.

.DEFAULT_GOAL := help
.PHONY: help run demo test check bench bench-instructions plots compare goals hostile soak e2e fuzz types nightly

help: ## this list
	@printf 'usage: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nmake run ARGS="--dev-tls" passes flags on to `madang serve --dev`.\n'

run: ## build everything and start a group call at http://localhost:7880
	@scripts/demo --optional
	cargo run --release -p sfu-bin -- serve --dev $(ARGS)

demo: ## build the SDK and the demo app
	@scripts/demo

test: ## everything: format, lints, unit, property, interop, chart and browser tests
	@scripts/test

check: ## format, lints and types only
	@scripts/test check

e2e: ## browser tests only; ONE=08-resume runs one scenario
	@scripts/e2e $(ONE)

bench: ## benchmarks of the forwarding path (criterion)
	cargo bench -p sfu-core --features test-support $(ARGS)

bench-instructions: ## instructions per forwarded packet (callgrind): for a busy machine
	@scripts/bench-instructions

plots: ## redraw docs/img/adaptation-*.svg from the simulation
	cargo test -q -p sfu-core --release --test rooms -- --ignored plots

compare: ## madang beside Janus, a plain forwarder and the floor, in turns (16 minutes once built); ARGS='--pairs 1' for a try
	@scripts/compare $(ARGS)

goals: ## latency, first keyframe, capacity, memory and joins (10 minutes once built); ROWS='10 11' for some
	@scripts/goals $(ROWS)

soak: ## wear the server out and see whether it gives everything back; MINUTES=60
	cargo build --release -p sfu-bin -p load-tests
	target/release/madang-load soak --minutes $(or $(MINUTES),60)

hostile: ## what one hostile member costs a room of 300 and its neighbours (4 minutes once built)
	cargo build --locked --release -p sfu-bin -p load-tests
	target/release/madang-load hostile --json docs/performance/hostile.json --document docs/performance.md $(ARGS)

fuzz: ## parsers against random input; SECONDS_EACH=60 per target, ONE=sdp for one
	@scripts/fuzz $(ONE)

types: ## regenerate what is generated from the Rust types: wire types of the SDK, docs/errors.md, golden files
	UPDATE_GOLDEN=1 cargo test -p sfu-signal

nightly: ## what is too slow for every change: audits, fuzzing, many more cases of every property
	@scripts/nightly
