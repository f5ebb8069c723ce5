# Hotcall's tasks; `make` lists them. cargo does the work, but for packages, npm's too, and the plugins in C.

CARGO  ?= cargo
RUSTC  ?= rustc
TARGET  = $(or $(CARGO_TARGET_DIR),target)
FULL_TARGET = $(if $(filter /%,$(TARGET)),,$(CURDIR)/)$(TARGET)
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

# Release builds contain no path of the machine, so the same source gives the same bytes in every folder.
# rustc applies the last prefix that matches. Where the component rust-src is installed, rustc names the
# standard library's files by their paths here; the last map gives them the names they have elsewhere.
# A registry may be reached through a link, and some tools name the path that the link leads to.
# cargo splits these flags at the ASCII unit separator, so paths may contain spaces.
RUST_SOURCES  = $$($(RUSTC) --print sysroot)/lib/rustlib/src/rust
RUST_COMMIT   = $$($(RUSTC) -vV | sed -n 's/^commit-hash: //p')
CARGO_SOURCES = $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src
REMAPPED = CARGO_ENCODED_RUSTFLAGS="$$(set -- $(RUSTFLAGS) \
    "--remap-path-prefix=$(CURDIR)=." \
    "--remap-path-prefix=$(FULL_TARGET)=target" \
    "--remap-path-prefix=$$(realpath -m "$(CARGO_SOURCES)")=registry" \
    "--remap-path-prefix=$(CARGO_SOURCES)=registry" \
    "--remap-path-prefix=$(RUST_SOURCES)=/rustc/$(RUST_COMMIT)" \
    && IFS=$$(printf '\037') && printf %s "$$*")"

RUST_PLUGINS = $(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml))
C_PLUGINS    = $(patsubst plugins/%/Makefile,%,$(wildcard plugins/*/Makefile))

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help run build plugins c-plugins test test-reloads test-reproducible deny sanitize-address memcheck fuzz node-modules bench bench-short bench-micro bench-linear bench-reload bench-harm bench-gate install-packages clean

help: ## shows this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

run: SECTIONS = run
run: install-packages build ## installs what is missing, builds, and serves plugins/ over HTTPS; an edited plugin is rebuilt
	exec $(BIN) dev plugins --state-dir $(STATE_DIR) $(ARGS)

build: ## builds target/release/hotcall
	$(if $(filter dev,$(PROFILE)),,$(REMAPPED)) $(CARGO) build --locked --profile $(PROFILE) --package hotcall

# Each file comes in one step, so that a server may serve the directory meanwhile.
plugins: c-plugins ## builds the bundled plugins, in Rust and in C, into target/plugins
	$(REMAPPED) $(CARGO) build --locked --release $(addprefix --package ,$(RUST_PLUGINS))
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
	$(CARGO) build --locked --workspace --all-targets
	rm -rf $(FUZZ)/smoke
	$(call run-fuzzers,smoke,-runs=$(FUZZ_RUNS) -seed=1 -verbosity=0)
	$(CARGO) test --locked --workspace

test-reloads: ## reloads a plugin with a database 200 times under 8 writers and kills the server at random moments
	HOTCALL_RELOADS=200 $(CARGO) test --locked --package hotcall-tests --test it -- exclusive::acknowledged

test-reproducible: SECTIONS = run
test-reproducible: install-packages ## builds the server and the bundled plugins in two folders and compares the bytes
	HOTCALL_TESTS_RELEASE=1 $(CARGO) test --locked --package hotcall-tests --test it -- --exact \
	    supply::a_release_is_the_same_bytes_in_two_folders

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

# For `make sanitize-address`: where it builds, and the tests that it skips. These build without its flags,
# measure the memory of a process, or limit the address space, of which the sanitizer takes terabytes.
SANITIZED   = $(FULL_TARGET)/sanitized
UNSANITIZED = mistakes_are_refused allocator:: memory:: new:: readme:: supply:: cli::dev_ cli::check_ trust::check_ \
    a_probe_gets_nothing each_way_to_end_the_process decoding::inflated

# The flag is unstable. RUSTC_BOOTSTRAP makes stable Rust accept it: for a check, never for a release.
# -rdynamic exports the sanitizer's functions, which plugins call.
SANITIZE = rm -f $(SANITIZED)/reports/* && \
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Clink-arg=-rdynamic -Clink-arg=$(SANITIZED)/options.o" \
    CARGO_BUILD_TARGET=$$($(RUSTC) -vV | sed -n 's/^host: //p') CARGO_TARGET_DIR=$(SANITIZED) \
    CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only RUST_MIN_STACK=67108864 \
    HOTCALL_TESTS_LIMITS='probe_address_space_bytes_max = 9223372036854775807'

# Servers leak on purpose: a plugin's old version stays mapped, with the tables that its host lent it.
sanitize-address: SECTIONS = run test
sanitize-address: install-packages $(SANITIZED)/options.o ## runs the tests under AddressSanitizer
	$(SANITIZE) ASAN_OPTIONS=detect_leaks=1 $(CARGO) test --locked --workspace --lib --test sdk --test stateless \
	    --no-fail-fast -- $(addprefix --skip ,$(UNSANITIZED))
	$(SANITIZE) $(CARGO) test --locked --workspace --test life_cycle --test it \
	    --no-fail-fast -- $(addprefix --skip ,$(UNSANITIZED))
	! grep . $(SANITIZED)/reports/*

# cargo does not notice a changed object among its flags, so everything is built again.
$(SANITIZED)/options.o: tests/sanitizers/options.c
	rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)/reports
	chmod 1777 $(SANITIZED)/reports
	$(CC) -O -fPIC -DREPORTS='"$(SANITIZED)/reports/address"' -c -o $@ $<

# Tests of code that reads and writes through the pointers of plugins. valgrind hides the kernel's vDSO,
# and rustix crashes without it in thread_names.
RUNNER   = CARGO_TARGET_$$($(RUSTC) -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)_RUNNER
MEMCHECK = $(RUNNER)="valgrind -q --error-exitcode=9"
memcheck: SECTIONS = run memcheck
memcheck: install-packages ## runs the tests of both sides of the ABI under valgrind
	export $(MEMCHECK) && \
	    $(CARGO) test --locked --workspace --test sdk --test stateless && \
	    $(CARGO) test --locked --workspace --lib -- --test-threads=1 --skip thread_names \
	        fuzz::tests::abi fuzz::tests::encode_decode plugin:: lent

# For `make deny`: its program, built in debug to be ready in a minute or two, and how long a fetch of the
# advisories may take.
CARGO_DENY_VERSION = 0.20.2
CARGO_DENY         = $(TARGET)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
ADVISORIES_SECONDS = 60
# Nothing of these is shipped, so their licenses do not count.
UNSHIPPED = tests/fuzz/Cargo.toml tests/bench/peers/dxr/Cargo.toml

deny: SECTIONS = run
deny: install-packages $(CARGO_DENY) ## checks licenses, sources, duplicates and advisories of all dependencies
	$(CARGO_DENY) --locked check bans licenses sources
	for manifest in $(UNSHIPPED); do $(DENY_UNSHIPPED) bans sources || exit 1; done
	if timeout $(ADVISORIES_SECONDS) $(CARGO_DENY) fetch db; then \
	    $(CARGO_DENY) --locked check advisories && \
	    for manifest in $(UNSHIPPED); do $(DENY_UNSHIPPED) advisories || exit 1; done; \
	else \
	    echo "advisories: NOT CHECKED: cannot fetch their database; the error is above"; \
	fi

DENY_UNSHIPPED = $(CARGO_DENY) --locked --config deny.toml --manifest-path $$manifest check

$(CARGO_DENY):
	$(CARGO) install --locked --debug --root $(TARGET)/tools/cargo-deny-$(CARGO_DENY_VERSION) \
	    --version $(CARGO_DENY_VERSION) cargo-deny

# The client that the tests run in Node. Where npm is missing, its test says so.
node-modules: $(NODE)/node_modules/.package-lock.json

$(NODE)/node_modules/.package-lock.json: tests/foreign/node/package.json tests/foreign/node/package-lock.json
	mkdir -p $(NODE)
	cp $^ $(NODE)
	if command -v npm >/dev/null; then cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund; fi

# The benches measure what is released.
BENCH = $(REMAPPED) $(CARGO) bench --locked

# tests/bench/peers/dxr is built here only: the tests need nothing of it.
bench bench-short: SECTIONS = run test bench
bench: install-packages node-modules ## measures Hotcall beside other servers and clients in 28 minutes; see tests/bench/RESULTS.md
	$(BENCH) --package hotcall-tests --bench speed

bench-short: install-packages node-modules ## the same in 4 minutes, into target/bench
	$(BENCH) --package hotcall-tests --bench speed -- --short

bench-micro: SECTIONS = run
bench-micro: install-packages ## times what a call is made of: codec, vetting, dispatch; and counts its allocations
	$(BENCH) --package hotcall --features fuzz --bench codec --bench gate
	$(BENCH) --package hotcall-tests --bench call

bench-linear: SECTIONS = run
bench-linear: install-packages ## times that documents are decoded in linear time; `make test` counts allocations instead
	$(BENCH) --package hotcall --bench linear

bench-reload: SECTIONS = run
bench-reload: install-packages ## reloads a plugin 1,000 times under load and prints what it costs; see tests/bench/RELOAD.md
	$(BENCH) --package hotcall-tests --bench reload

bench-harm: SECTIONS = run
bench-harm: install-packages ## puts harmful plugins into a server and prints how long others' calls take; see tests/bench/RELOAD.md
	$(BENCH) --package hotcall-tests --bench harm

bench-gate: SECTIONS = run bench
bench-gate: install-packages ## attacks a server with silent and slow clients and prints what a good one notices; see tests/bench/GATE.md
	$(BENCH) --package hotcall-tests --bench gate

SECTIONS = run test
install-packages: ## installs the Debian packages of .ci/packages that are missing
	.ci/install-packages $(SECTIONS)

clean: ## removes all that was built
	$(CARGO) clean
	for name in $(C_PLUGINS); do $(MAKE) -C plugins/$$name clean || exit 1; done
