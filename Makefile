# Hotcall's tasks; `make` lists them. cargo does the work, but for packages, npm's too, and the plugins in C.

CARGO  ?= cargo
TARGET  = $(or $(CARGO_TARGET_DIR),target)
PLUGINS = $(TARGET)/plugins
NODE    = $(TARGET)/foreign/node

# For `make fuzz`: how long each target is fuzzed, and which ones there are.
FUZZ         = $(TARGET)/fuzz
FUZZ_SECONDS ?= 20
FUZZ_TARGETS ?= $(patsubst tests/fuzz/fuzz_targets/%.rs,%,$(wildcard tests/fuzz/fuzz_targets/*.rs))

# For `make run`: the cargo profile, the server's own files, and more arguments of `hotcall dev`.
PROFILE   ?= release
STATE_DIR ?= $(TARGET)/hotcall
ARGS      ?=
BIN        = $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/hotcall

RUST_PLUGINS = $(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml))
C_PLUGINS    = $(patsubst plugins/%/Makefile,%,$(wildcard plugins/*/Makefile))

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help run build plugins c-plugins test fuzz node-modules bench bench-short bench-micro bench-linear bench-reload bench-harm bench-gate install-packages clean

help: ## shows this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

run: SECTIONS = run
run: install-packages build ## installs what is missing, builds, and serves plugins/ over HTTPS; an edited plugin is rebuilt
	exec $(BIN) dev plugins --state-dir $(STATE_DIR) $(ARGS)

build: ## builds target/release/hotcall
	$(CARGO) build --profile $(PROFILE) --package hotcall

# Each file comes in one step, so that a server may serve the directory meanwhile.
plugins: c-plugins ## builds the bundled plugins, in Rust and in C, into target/plugins
	$(CARGO) build --release $(addprefix --package ,$(RUST_PLUGINS))
	for name in $(subst -,_,$(RUST_PLUGINS)); do \
	    install -m 644 $(TARGET)/release/lib$$name.so $(PLUGINS)/.$$name.new && \
	    mv -f $(PLUGINS)/.$$name.new $(PLUGINS)/lib$$name.so || exit 1; \
	done

c-plugins:
	mkdir -p $(PLUGINS)
	for name in $(C_PLUGINS); do \
	    $(MAKE) -C plugins/$$name OUT=$(if $(filter /%,$(PLUGINS)),,../../)$(PLUGINS)/$$name.so || exit 1; \
	done

test: install-packages c-plugins node-modules ## installs what is missing, builds everything, and runs all tests
	$(CARGO) build --workspace --all-targets
	rm -rf $(FUZZ)/smoke
	$(call run-fuzzers,smoke,-runs=$(FUZZ_RUNS) -seed=1 -verbosity=0)
	$(CARGO) test --workspace

# Inputs for each target in `make test`, its corpus counted: some seconds.
FUZZ_RUNS = 300

fuzz: SECTIONS = run test
fuzz: install-packages ## runs libFuzzer over each of FUZZ_TARGETS for FUZZ_SECONDS, from the committed corpora
	$(call run-fuzzers,found,-max_total_time=$(FUZZ_SECONDS) -timeout=10)

# What cargo-fuzz has rustc put in, so that libFuzzer sees which branches were taken: all but the sanitizer, which wants nightly.
FUZZ_RUSTFLAGS = -Cpasses=sancov-module \
    $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table)

# $(1) is where new cases go, below $(FUZZ), so that the committed ones stay as they are; $(2) what libFuzzer is told. With a
# target named, build scripts and macros are built without these flags, with which they would not link.
define run-fuzzers
	triple=$$($(CARGO) -vV | sed -n 's/^host: //p') && \
	RUSTFLAGS="$(FUZZ_RUSTFLAGS)" $(CARGO) build --locked --manifest-path tests/fuzz/Cargo.toml --target $$triple \
	    --target-dir $(FUZZ) && \
	for name in $(FUZZ_TARGETS); do \
	    mkdir -p $(FUZZ)/$(1)/$$name $(FUZZ)/artifacts/$$name && \
	    $(FUZZ)/$$triple/debug/$$name $(2) -artifact_prefix=$(FUZZ)/artifacts/$$name/ \
	        $(FUZZ)/$(1)/$$name tests/fuzz/corpus/$$name || exit 1; \
	done
endef

# The client that the tests run in Node. Where npm is missing, its test says so.
node-modules: $(NODE)/node_modules/.package-lock.json

$(NODE)/node_modules/.package-lock.json: tests/foreign/node/package.json tests/foreign/node/package-lock.json
	mkdir -p $(NODE)
	cp $^ $(NODE)
	if command -v npm >/dev/null; then cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund; fi

# tests/bench/peers/dxr is built here only: the tests need nothing of it.
bench bench-short: SECTIONS = run test bench
bench: install-packages node-modules ## measures Hotcall beside other servers in 25 minutes; see tests/bench/RESULTS.md
	$(CARGO) bench --package hotcall-tests --bench speed

bench-short: install-packages node-modules ## the same in 4 minutes, into target/bench
	$(CARGO) bench --package hotcall-tests --bench speed -- --short

bench-micro: SECTIONS = run
bench-micro: install-packages ## times what a call is made of: codec, vetting, dispatch; and counts its allocations
	$(CARGO) bench --package hotcall --features fuzz --bench codec --bench gate
	$(CARGO) bench --package hotcall-tests --bench call

bench-linear: SECTIONS = run
bench-linear: install-packages ## checks that documents are decoded in linear time, whatever they are made of
	$(CARGO) bench --package hotcall --bench linear

bench-reload: SECTIONS = run
bench-reload: install-packages ## reloads a plugin 1,000 times under load and prints what it costs; see tests/bench/RELOAD.md
	$(CARGO) bench --package hotcall-tests --bench reload

bench-harm: SECTIONS = run
bench-harm: install-packages ## puts harmful plugins into a server and prints how long others' calls take; see tests/bench/RELOAD.md
	$(CARGO) bench --package hotcall-tests --bench harm

bench-gate: SECTIONS = run bench
bench-gate: install-packages ## attacks a server with silent and slow clients and prints what a good one notices; see tests/bench/GATE.md
	$(CARGO) bench --package hotcall-tests --bench gate

SECTIONS = run test
install-packages: ## installs the Debian packages of .ci/packages that are missing
	.ci/install-packages $(SECTIONS)

clean: ## removes all that was built
	$(CARGO) clean
	for name in $(C_PLUGINS); do $(MAKE) -C plugins/$$name clean || exit 1; done
