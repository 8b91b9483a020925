# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# make             build the programs into build/
# make check       layers, format, unit and command-line tests (no root, under a minute)
# make check-root  the tests that load BPF programs and make namespaces (root)
# make bench       measure connect() under srcport and its rivals (root) into bench/RESULTS.md
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
LIBS    = -lbpf -lsqlite3 -ljansson -linih -lmnl -lm

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
$(BUILD)/%.bpf.o: src/%.bpf.c $(wildcard src/bpf/*.h src/*/*_abi.h src/*/pick*.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror \
		-Wno-missing-declarations -I/usr/include/$(TRIPLE) -Isrc -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	bpftool gen skeleton $< name $(notdir $*)_bpf > $@

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/san/lib.a
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(SAN) $< $(BUILD)/san/lib.a -o $@ -lcmocka $(LIBS)

help:
	@sed -n 's/^# make/make/p' Makefile

.PHONY: all help
.DELETE_ON_ERROR:
.SECONDARY:
-include $(OBJ:.o=.d) $(SAN_OBJ:.o=.d)
