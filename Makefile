# Hotcall's tasks; `make` lists them. cargo does most of the work. This file also installs packages,
# those of npm too, and builds the plugins in C.

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

# Release builds contain no path of the machine, so the same source gives the same bytes in every
# folder. rustc applies the last prefix that matches. Where the component rust-src is installed,
# rustc names the standard library's files by their paths on this machine; the last map gives them
# the names that they have elsewhere. The registry may be a symbolic link, and some tools name its
# target. cargo splits these flags at the ASCII unit separator, so paths may contain spaces.
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

# Release builds keep their debug information. $(call split-debug,FROM,TO,STRIP,MODE) writes FROM
# without it to TO, and the debug information to TO.debug, where backtraces and debuggers find it.
WHOLE = --config 'profile.release.strip="none"' \
    --config 'profile.release.package.hotcall.strip="none"'
split-debug = objcopy --only-keep-debug $(1) $(2).debug && \
    objcopy $(3) --add-gnu-debuglink=$(2).debug $(1) $(2).new && \
    chmod $(4) $(2).new && mv -f $(2).new $(2)

RUST_PLUGINS = $(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml))
C_PLUGINS    = $(patsubst plugins/%/Makefile,%,$(wildcard plugins/*/Makefile))

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help run build plugins c-plugins node-modules install-packages clean
.PHONY: test test-reloads test-reproducible deny sanitize-address memcheck fuzz
.PHONY: bench bench-short bench-micro bench-linear profile
.PHONY: bench-reload bench-harm bench-gate bench-neighbours

help: ## shows this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

run: SECTIONS = run
run: install-packages build ## builds, serves plugins/ over HTTPS, and rebuilds edited plugins
	exec $(BIN) dev plugins --state-dir $(STATE_DIR) $(ARGS)

build: ## builds target/release/hotcall, and hotcall.debug with its line tables
	$(if $(filter dev,$(PROFILE)),,$(REMAPPED)) $(CARGO) build --locked --profile $(PROFILE) \
	    --package hotcall $(WHOLE)
	$(if $(filter release,$(PROFILE)),$(call split-debug,$(BIN),$(BIN),--strip-debug,755))

# Each file is replaced in one step, so a server may serve the directory meanwhile.
plugins: c-plugins ## builds the bundled plugins, in Rust and in C, into target/plugins
	$(REMAPPED) $(CARGO) build --locked --release $(WHOLE) \
	    $(addprefix --package ,$(RUST_PLUGINS))
	for name in $(subst -,_,$(RUST_PLUGINS)); do \
	    file=lib$$name.so; \
	    $(call split-debug,$(TARGET)/release/$$file,$(PLUGINS)/$$file,--strip-all,644) \
	        || exit 1; \
	done

# The plugins directory as seen from plugins/NAME.
PLUGINS_OUT = $(if $(filter /%,$(PLUGINS)),,../../)$(PLUGINS)
c-plugins:
	mkdir -p $(PLUGINS)
	for name in $(C_PLUGINS); do \
	    $(MAKE) -C plugins/$$name OUT=$(PLUGINS_OUT)/$$name.so || exit 1; \
	done

test: install-packages c-plugins node-modules ## builds everything and runs all tests
	$(CARGO) build --locked --workspace --all-targets
	rm -rf $(FUZZ)/smoke
	$(call run-fuzzers,smoke,-runs=$(FUZZ_RUNS) -seed=1 -verbosity=0)
	$(CARGO) test --locked --workspace

test-reloads: ## reloads a plugin with a database 200 times under load, and kills the server
	HOTCALL_RELOADS=200 $(CARGO) test --locked --package hotcall-tests --test it -- \
	    exclusive::acknowledged

test-reproducible: SECTIONS = run
test-reproducible: install-packages ## builds the release in two folders and compares the bytes
	HOTCALL_TESTS_RELEASE=1 $(CARGO) test --locked --package hotcall-tests --test it -- \
	    --exact supply::a_release_is_the_same_bytes_in_two_folders

# How many inputs `make test` gives each target, corpus included. They take some seconds.
FUZZ_RUNS = 300

fuzz: SECTIONS = run test
fuzz: install-packages ## runs libFuzzer on each of FUZZ_TARGETS for FUZZ_SECONDS
	$(call run-fuzzers,found,-max_total_time=$(FUZZ_SECONDS) -timeout=10)

# The instrumentation of cargo-fuzz, which shows libFuzzer the branches that an input takes. The
# sanitizer is left out, because it needs nightly.
FUZZ_RUSTFLAGS = -Cpasses=sancov-module \
    $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table)

# $(1) is the folder below $(FUZZ) for new cases, so the committed corpora do not change. $(2) holds
# options of libFuzzer. With --target, cargo builds build scripts and macros without these flags;
# they would not link with them.
define run-fuzzers
	triple=$$($(CARGO) -vV | sed -n 's/^host: //p') && \
	RUSTFLAGS="$(FUZZ_RUSTFLAGS)" $(CARGO) build --locked \
	    --manifest-path tests/fuzz/Cargo.toml --target $$triple --target-dir $(FUZZ) && \
	for name in $(FUZZ_TARGETS); do \
	    mkdir -p $(FUZZ)/$(1)/$$name $(FUZZ)/artifacts/$$name && \
	    $(FUZZ)/$$triple/debug/$$name $(2) -artifact_prefix=$(FUZZ)/artifacts/$$name/ \
	        $(FUZZ)/$(1)/$$name tests/fuzz/corpus/$$name || exit 1; \
	done
endef

# For `make sanitize-address`: where it builds, and the tests that it skips. These build without its
# flags, measure the memory of a process, or limit the address space; the sanitizer takes terabytes
# of that.
SANITIZED   = $(FULL_TARGET)/sanitized
UNSANITIZED = mistakes_are_refused allocator:: memory:: new:: readme:: supply:: \
    cli::dev_ cli::check_ trust::check_ \
    a_probe_gets_nothing each_way_to_end_the_process decoding::inflated

# -Zsanitizer is unstable. RUSTC_BOOTSTRAP makes stable Rust accept it: for tests, never for a
# release. -rdynamic exports the sanitizer's functions, which plugins call.
SANITIZE_RUSTFLAGS = -Zsanitizer=address -Clink-arg=-rdynamic -Clink-arg=$(SANITIZED)/options.o
SANITIZE = rm -f $(SANITIZED)/reports/* && \
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="$(SANITIZE_RUSTFLAGS)" \
    CARGO_BUILD_TARGET=$$($(RUSTC) -vV | sed -n 's/^host: //p') CARGO_TARGET_DIR=$(SANITIZED) \
    CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only RUST_MIN_STACK=67108864 \
    HOTCALL_TESTS_LIMITS='probe_address_space_bytes_max = 9223372036854775807'

# Servers leak on purpose: old versions of a plugin stay mapped, with the tables that the host lent
# them. So the tests that start servers run without ASAN_OPTIONS=detect_leaks=1.
sanitize-address: SECTIONS = run test
sanitize-address: install-packages $(SANITIZED)/options.o ## runs the tests under AddressSanitizer
	$(SANITIZE) ASAN_OPTIONS=detect_leaks=1 $(CARGO) test --locked --workspace \
	    --lib --test sdk --test stateless \
	    --no-fail-fast -- $(addprefix --skip ,$(UNSANITIZED))
	$(SANITIZE) $(CARGO) test --locked --workspace --test life_cycle --test it \
	    --no-fail-fast -- $(addprefix --skip ,$(UNSANITIZED))
	! grep . $(SANITIZED)/reports/*

# cargo does not notice that options.o changed, so this rule removes everything built with it.
$(SANITIZED)/options.o: tests/sanitizers/options.c
	rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)/reports
	chmod 1777 $(SANITIZED)/reports
	$(CC) -O -fPIC -DREPORTS='"$(SANITIZED)/reports/address"' -c -o $@ $<

# Tests of code that reads and writes through the pointers of plugins.
RUNNER   = CARGO_TARGET_$$($(RUSTC) -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)_RUNNER
MEMCHECK = $(RUNNER)="valgrind -q --error-exitcode=9"
memcheck: SECTIONS = run memcheck
memcheck: install-packages ## runs the tests of both sides of the ABI under valgrind
	export $(MEMCHECK) && \
	    $(CARGO) test --locked --workspace --test sdk --test stateless && \
	    $(CARGO) test --locked --workspace --lib -- --test-threads=1 \
	        fuzz::tests::abi fuzz::tests::encode_decode plugin:: arena:: borrowed

# For `make deny`: cargo-deny, whose debug build takes a minute or two, and the time limit for
# fetching the advisories.
CARGO_DENY_VERSION = 0.20.2
CARGO_DENY         = $(TARGET)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
ADVISORIES_SECONDS = 60
# These packages are not shipped, so their licenses are not checked.
UNSHIPPED = tests/fuzz/Cargo.toml tests/bench/peers/dxr/Cargo.toml

deny: SECTIONS = run
deny: install-packages $(CARGO_DENY) ## checks licenses and advisories of all dependencies
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

# The XML-RPC client for Node. Where npm is missing, the test that needs it says so.
node-modules: $(NODE)/node_modules/.package-lock.json

NODE_MANIFESTS = $(addprefix tests/foreign/node/,package.json package-lock.json)
$(NODE)/node_modules/.package-lock.json: $(NODE_MANIFESTS)
	mkdir -p $(NODE)
	cp $^ $(NODE)
	if command -v npm >/dev/null; then \
	    cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund; \
	fi

# The benches measure release builds.
BENCH = $(REMAPPED) $(CARGO) bench --locked

# Only the bench builds tests/bench/peers/dxr; no test needs it.
bench bench-short: SECTIONS = run test bench
bench: install-packages node-modules ## compares with other servers and clients in 30 minutes
	$(BENCH) --package hotcall-tests --bench speed

bench-short: install-packages node-modules ## the same in 4 minutes, into target/bench
	$(BENCH) --package hotcall-tests --bench speed -- --short

bench-micro: SECTIONS = run
bench-micro: install-packages ## times the parts of a call and counts its allocations
	$(BENCH) --package hotcall --features fuzz --bench codec --bench gate
	$(BENCH) --package hotcall-tests --bench call

bench-linear: SECTIONS = run
bench-linear: install-packages ## checks that decoding takes linear time
	$(BENCH) --package hotcall --features fuzz --bench linear

bench-reload: SECTIONS = run
bench-reload: install-packages ## measures 1,000 reloads under load; see tests/bench/RELOAD.md
	$(BENCH) --package hotcall-tests --bench reload

bench-harm: SECTIONS = run
bench-harm: install-packages ## measures calls beside harmful plugins; see tests/bench/RELOAD.md
	$(BENCH) --package hotcall-tests --bench harm

bench-neighbours: SECTIONS = run
bench-neighbours: install-packages ## measures calls beside busy ones; see tests/bench/NEIGHBOURS.md
	$(BENCH) --package hotcall-tests --bench neighbours

bench-gate: SECTIONS = run bench
bench-gate: install-packages ## measures calls beside slow clients; see tests/bench/GATE.md
	$(BENCH) --package hotcall-tests --bench gate

profile: SECTIONS = run memcheck
profile: install-packages build ## counts the instructions of a call by function, under callgrind
	$(BENCH) --package hotcall-tests --bench profile -- $(abspath $(BIN))

SECTIONS = run test
install-packages: ## installs the Debian packages of .ci/packages that are missing
	.ci/install-packages $(SECTIONS)

clean: ## removes all build results
	$(CARGO) clean
	for name in $(C_PLUGINS); do $(MAKE) -C plugins/$$name clean || exit 1; done
