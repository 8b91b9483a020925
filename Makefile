# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# make             build the programs into build/
# make check       layers, format, unit and command-line tests (no root, under a minute)
# make check-root  the tests that load BPF programs and make namespaces (root)
# make soak        OPERATIONS=10000000 of all kinds, or SECONDS= of them, judged (root)
# make selftests   the kernel's own tests, from KERNEL_SOURCE=DIR, with srcport and without (root)
# make fuzz        any bytes at the policy's parser for SECONDS=60 (clang's libFuzzer)
# make bench       measure connect() under srcport and its rivals (root) into bench/RESULTS.md
# make bench-apps  run applications with srcport and without: SECONDS=60 PAIRS=5 (root)
# make install     DESTDIR= PREFIX=/usr/local
# make help        this text

PREFIX ?= /usr/local
CC     ?= cc
CLANG  ?= clang
CFLAGS ?= -O2 -g
WARN    = -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wvla
VERSION = 0.1.0
FLAGS   = -std=gnu17 -D_GNU_SOURCE -DSRCPORT_VERSION='"$(VERSION)"' -MMD -MP $(WARN) \
	  $(CFLAGS) -Isrc -I$(BUILD)
BUILD  ?= build
TRIPLE := $(shell $(CC) -print-multiarch)
ARCH   := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
LIBS    = -linih -lbpf -lsqlite3 -ljansson -lmnl -lm

# The programs' own files are src/cli/*.c and src/daemon/*.c; the rest is library.
BPF     := $(sort $(wildcard src/*/*.bpf.c))
SKEL    := $(patsubst src/%.bpf.c,$(BUILD)/%.skel.h,$(BPF))
SRC     := $(filter-out %.bpf.c,$(sort $(wildcard src/*/*.c)))
OBJ     := $(patsubst src/%.c,$(BUILD)/%.o,$(SRC))
LIB_OBJ := $(filter-out $(BUILD)/cli/% $(BUILD)/daemon/%,$(OBJ))
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/srcport $(BUILD)/srcportd

# Unit tests carry their own objects, built with the sanitizers.
SAN      = -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_OBJ := $(patsubst $(BUILD)/%,$(BUILD)/san/%,$(LIB_OBJ))

$(BUILD)/srcport: $(filter $(BUILD)/cli/%,$(OBJ)) $(BUILD)/lib.a
	$(CC) $(FLAGS) $^ -o $@ $(LDFLAGS) $(LIBS)

$(BUILD)/srcportd: $(filter $(BUILD)/daemon/%,$(OBJ)) $(BUILD)/lib.a
	$(CC) $(FLAGS) $^ -o $@ $(LDFLAGS) $(LIBS)

$(BUILD)/lib.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/san/lib.a: $(SAN_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: src/%.c | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -c $< -o $@

$(BUILD)/san/%.o: src/%.c | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(SAN) -c $< -o $@

# Loops are unrolled by hand where it pays; -mcpu=v3 gives 32-bit jumps and atomics.
$(BUILD)/%.bpf.o: src/%.bpf.c $(wildcard src/bpf/*.h src/*/*_abi.h src/*/*.bpf.h src/alloc/pick.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror \
		-Wno-missing-declarations -Wno-unused-parameter -I/usr/include/$(TRIPLE) -Isrc -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	bpftool gen skeleton $< name $(notdir $*)_bpf > $@

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/san/lib.a
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(SAN) $< $(BUILD)/san/lib.a -o $@ -lcmocka $(LIBS)

# The small programs that tests and benches drive; they share no code with srcport.
TOOLS      := $(addprefix $(BUILD)/tests/tools/,connector connector-static forker resting sink soak shape rewriter run_time)
BENCHES    := $(addprefix $(BUILD)/bench/,connect paired uniformity)
TEST_SKEL  := $(patsubst tests/bpf/%.bpf.c,$(BUILD)/tests/bpf/%.skel.h,$(wildcard tests/bpf/*.bpf.c))
BPF_TESTS  := $(patsubst tests/bpf/%.c,$(BUILD)/tests/bpf/%,$(wildcard tests/bpf/test_*.c))
TOOL_FLAGS  = $(FLAGS) -Itests/tools

$(BUILD)/tests/tools/%-static: tests/tools/%.c tests/tools/endpoint.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -MF $@.d $^ -static -o $@

$(BUILD)/tests/tools/%: tests/tools/%.c tests/tools/endpoint.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -MF $@.d $^ -o $@

$(BUILD)/tests/tools/shape: $(wildcard tests/tools/shape*.c)

$(BUILD)/tests/tools/soak: $(wildcard tests/tools/soak*.c)

$(BUILD)/tests/tools/rewriter: tests/tools/rewriter.c tests/tools/endpoint.c \
		| $(BUILD)/tests/bpf/rewriter.skel.h
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -MF $@.d $^ -o $@ -lbpf

$(BUILD)/tests/tools/run_time: tests/tools/run_time.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -MF $@.d $^ -o $@ -lbpf

$(BUILD)/bench/%: bench/%.c bench/sample.c tests/tools/endpoint.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -MF $@.d $^ -o $@ -lm

$(BUILD)/tests/bpf/%.bpf.o: tests/bpf/%.bpf.c $(wildcard src/bpf/*.h src/*/*_abi.h src/*/*.bpf.h src/alloc/pick.h tests/bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror \
		-Wno-missing-declarations -Wno-unused-parameter -I/usr/include/$(TRIPLE) -Isrc -c $< -o $@

$(BUILD)/tests/bpf/%: tests/bpf/%.c $(BUILD)/san/lib.a | $(TEST_SKEL)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(SAN) $< $(BUILD)/san/lib.a -o $@ -lcmocka $(LIBS)

# Where tools/run-tests adds up what passed and failed.
TEST_COUNTS ?= /dev/null

check: all $(UNIT)
	BUILD=$(BUILD) tools/run-tests $(TEST_COUNTS) tools/check-layers tools/check-headers \
		tools/check-format $(UNIT) $(wildcard tests/cli/*.bats)

check-root: all $(TOOLS) $(BPF_TESTS)
	BUILD=$(BUILD) tools/run-tests $(TEST_COUNTS) $(BPF_TESTS) $(wildcard tests/root/*.bats)

# Not by tools/run-tests, which allows a file 400 seconds.
OPERATIONS ?= 10000000

soak: all $(BUILD)/tests/tools/soak
	BUILD=$(BUILD) SOAK_OPERATIONS=$(OPERATIONS) SOAK_SECONDS=$(SECONDS) \
		bats --tap tests/root/soak.bats

selftests: all $(BUILD)/tests/tools/connector
	BUILD=$(BUILD) tests/selftests/run $(KERNEL_SOURCE)

# clang's runtime (libclang-rt-14-dev) carries the sanitizers, so the parser is compiled anew with it. What
# is found (crash-*) and the corpus that grew stay in $(BUILD)/fuzz.
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_policy.c src/policy/*.c src/model/*.c src/base/*.c)

$(BUILD)/fuzz/fuzz_policy: $(FUZZ_SRC) $(wildcard src/policy/*.h src/model/*.h src/base/*.h)
	@mkdir -p $(@D)
	$(CLANG) -std=gnu17 -D_GNU_SOURCE -O1 -g -Isrc -fno-sanitize-recover=all \
		-fsanitize=fuzzer,address,undefined $(FUZZ_SRC) -o $@ -linih

fuzz: $(BUILD)/fuzz/fuzz_policy
	@mkdir -p $(BUILD)/fuzz/corpus
	$< -max_total_time=$(or $(SECONDS),60) -max_len=8192 -timeout=10 -dict=tests/fuzz/policy.dict \
		-artifact_prefix=$(BUILD)/fuzz/ -print_final_stats=1 \
		$(BUILD)/fuzz/corpus tests/policy/good tests/policy/bad

bench: all $(BENCHES)
	BUILD=$(BUILD) bench/run

bench-apps: all
	BUILD=$(BUILD) bench/apps --seconds $(or $(SECONDS),60) --pairs $(or $(PAIRS),5)

install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin sbin lib/systemd/system lib/sysusers.d)
	install -m 755 $(BUILD)/srcport $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/srcportd $(DESTDIR)$(PREFIX)/sbin
	sed 's|@SBIN@|$(PREFIX)/sbin|' dist/srcportd.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/srcportd.service
	install -m 644 dist/srcport.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/srcport.conf
	for page in $(wildcard man/*.[1-8]); do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; \
	done

clean:
	rm -rf $(BUILD)

help:
	@sed -n 's/^# make/make/p' Makefile

.PHONY: all check check-root soak selftests bench bench-apps install clean help
.DELETE_ON_ERROR:
.SECONDARY:
-include $(OBJ:.o=.d) $(SAN_OBJ:.o=.d)
