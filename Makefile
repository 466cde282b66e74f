# hashwarden. Each target first installs what it needs and lacks (.ci/setup); a plain machine with Rust, gcc and make will do.
# All of them use the release profile and one target directory, so that RocksDB, which takes minutes, is compiled once.

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET)
BINARY := $(TARGET)/release/hashwarden
PYTHON := $(TARGET)/python

# clang++ compiles RocksDB in two thirds of g++'s time. Cargo compiles it anew when this name changes, so it stays the same.
ifeq ($(origin CXX),default)
CXX = $(if $(shell command -v clang++ 2>/dev/null),clang++,g++)
endif
CARGO = CXX=$(CXX) cargo

.PHONY: help demo test test-model serve bench bench-peers bench-recall bench-thorn fuzz lint build setup setup-test

help:
	@echo 'make demo    build, then show the main job from end to end: pictures in, verdicts out'
	@echo 'make test    run every test'
	@echo 'make test-model   a hundred thousand operations on lists by 8 threads, every verdict checked; OPERATIONS=N SEED=N to repeat a round (some 15 minutes)'
	@echo 'make serve   run the service; CONFIG=FILE names a configuration (deploy/hashwarden.toml shows all keys)'
	@echo 'make bench   measure the hot paths, print one table, and draw the figures of docs/ (some 20 minutes, 10 GB)'
	@echo 'make bench-peers   measure hashing beside Pillow and pdqhash, and PDQ look-ups beside Faiss, python-threatexchange, USearch and pgvector; ROWS=images or ROWS="100000" for one of them (some 15 minutes, 10 GB)'
	@echo 'make bench-recall   count the altered copies that are found, on drawn pictures or on your own photographs: PHOTOS=DIR (some 10 minutes)'
	@echo 'make bench-thorn PHOTOS=DIR   Thorn'"'"'s published benchmark on your own photographs: pHash, PDQ and ours (a minute; installs 0.8 GB of Python)'
	@echo 'make fuzz    try the parsers of untrusted bytes on what nobody wrote, guided by coverage; SECONDS=60 for each, PARSERS="lists messages"'
	@echo 'make lint    formatting, clippy, and whether the sources keep to the map of rooms'
	@echo 'make setup   only install what is missing'
	@echo 'The first build takes 10 to 20 minutes on two cores, most of it RocksDB.'

demo: build
	$(BINARY) demo

test: setup setup-test
	HASHWARDEN_TEST_PYTHON=$(PYTHON)/bin/python $(CARGO) test --release

test-model: setup
	HASHWARDEN_MODEL_OPERATIONS=$(or $(OPERATIONS),100000) HASHWARDEN_MODEL_SEED=$(SEED) $(CARGO) test --release --test model -- --nocapture

serve: build
	exec $(BINARY) serve $(if $(CONFIG),--config $(CONFIG))

bench: setup
	$(CARGO) bench --bench index --bench matching --bench service
	@$(CARGO) bench --bench table --bench figures

bench-peers: setup
	@.ci/setup peers $(TARGET)/peers
	HASHWARDEN_BENCH_PEERS=$(TARGET)/peers/bin/python $(CARGO) bench --bench peers -- $(ROWS)

bench-recall: setup
	PHOTOS=$(PHOTOS) $(CARGO) bench --bench recall

ifneq ($(filter bench-thorn,$(MAKECMDGOALS)),)
ifeq ($(PHOTOS),)
$(error bench-thorn needs a folder of photographs: make bench-thorn PHOTOS=DIR)
endif
endif

bench-thorn: build
	@.ci/setup thorn $(TARGET)/thorn
	@$(TARGET)/thorn/bin/python benches/thorn.py $(OPTIONS) $(BINARY) proto "$(PHOTOS)"

fuzz: build
	CXX=$(CXX) tests/fuzz/run $(TARGET) $(or $(SECONDS),60) $(PARSERS)

lint: setup
	@.ci/setup lint
	cargo fmt --all --check
	$(CARGO) clippy --release --all-targets -- -D warnings
	$(CARGO) test --release --test architecture
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; fi

build: setup
	$(CARGO) build --release --bin hashwarden

setup:
	@.ci/setup build

setup-test:
	@.ci/setup test $(PYTHON)
