# turnpike's build: plain GNU make, objects out of tree, sources discovered by room.
#
#   make                 the program, build/bin/turnpike
#   make deps            install what the build needs (Debian; only when something is missing)
#   make demo            a streamed call and its receipt, against a simulated upstream
#   make check           everything that tests; ends with "N passed, N failed, N skipped"
#   make bench           build the bench tools, run bench/run (with BENCH_ARGS), draw bench/comparison.svg
#   make doc             the manual as HTML, in build/doc (begin with index.html)
#   make install         to $(DESTDIR)$(prefix); configuration to $(DESTDIR)$(sysconfdir)/turnpike
#   make uninstall clean
#   make deb sbom        the Debian package, and what it is made of: dist/package.mk
#
#   make unit            build the unit tests into build/test/ (run one: build/test/base_js_test)
#   make fuzz            build the fuzz harnesses with clang into build-fuzz/bin/
#   make test-bins       all that the end-to-end tests run: program, simulated upstream
#
# Variables: CC CFLAGS LDFLAGS DESTDIR prefix sysconfdir are the packager's. WERROR=1 stops at
# warnings. SANITIZE=address,undefined or SANITIZE=thread builds into a folder of its own.
# BUILD=DIR puts all of it elsewhere. V=1 shows the commands.

VERSION := 0.1.0

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

comma := ,
SANITIZE ?=
FUZZ ?=
WERROR ?=
V ?=
Q := $(if $(V),,@)
BUILD ?= build$(if $(FUZZ),-fuzz)$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

prefix ?= /usr/local
bindir ?= $(prefix)/bin
sysconfdir ?= /etc
mandir ?= $(prefix)/share/man
sharedir ?= $(prefix)/share/turnpike
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d
bashdir ?= $(prefix)/share/bash-completion/completions
zshdir ?= $(prefix)/share/zsh/site-functions
fishdir ?= $(prefix)/share/fish/vendor_completions.d
INSTALL ?= install
PKG_CONFIG ?= pkg-config
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin AR),default)
AR := ar
endif
OBJCOPY ?= objcopy

# ---- flags -------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wno-format-zero-length
ifneq ($(WERROR),)
WARNINGS += -Werror
endif
# Rooms where money and shared words are counted: no silent change of width or sign.
WARNINGS_shm := -Wconversion
WARNINGS_ledger := -Wconversion
WARNINGS_route := -Wconversion

ifneq ($(SANITIZE)$(FUZZ),)
CFLAGS ?= -O1 -g1
SANITIZERS := $(if $(FUZZ),fuzzer-no-link$(comma)address$(comma)undefined,$(SANITIZE))
HARDENING := -fno-omit-frame-pointer -fsanitize=$(SANITIZERS) -DSLOW_ASSERTS
ifneq ($(findstring undefined,$(SANITIZERS)),)
HARDENING += -fno-sanitize-recover=undefined
endif
LINK_HARDENING := -fsanitize=$(SANITIZERS)
else
CFLAGS ?= -O2 -g
HARDENING := -fstack-protector-strong -fPIE -fno-plt
# The macro only works, and only keeps quiet, when the compiler optimises.
ifneq ($(filter -O1 -O2 -O3 -Os -Og -Ofast,$(CFLAGS)),)
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
LINK_HARDENING := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
endif

BASE_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -pthread -DTURNPIKE_VERSION='"$(VERSION)"' $(WARNINGS) \
	$(HARDENING)

# ---- libraries ---------------------------------------------------------------------------------

PC_LIBS := libuv lmdb libconfuse libsodium
DEB_libuv := libuv1-dev
DEB_lmdb := liblmdb-dev
DEB_libconfuse := libconfuse-dev
DEB_libsodium := libsodium-dev

# Looked for once a run, and only when something is to be compiled.
GOALS := $(if $(MAKECMDGOALS),$(MAKECMDGOALS),all)
ifneq ($(filter-out help deps check demo doc clean uninstall fuzz test-deps deb,$(GOALS)),)
ifeq ($(shell command -v $(firstword $(CC))),)
$(error $(CC) is missing: apt-get install $(firstword $(CC)) (or run: make deps))
endif
ifeq ($(shell command -v $(firstword $(PKG_CONFIG))),)
$(error $(PKG_CONFIG) is missing: apt-get install pkg-config (or run: make deps))
endif
ifneq ($(shell $(PKG_CONFIG) --exists $(PC_LIBS) && echo yes),yes)
$(foreach lib,$(PC_LIBS),$(if $(shell $(PKG_CONFIG) --exists $(lib) && echo yes),,\
	$(error $(lib) is missing: apt-get install $(DEB_$(lib)) (or run: make deps))))
endif
LIB_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PC_LIBS))
LIB_LIBS := $(shell $(PKG_CONFIG) --libs $(PC_LIBS))

# Debian 12's mbedTLS has no .pc file.
ifneq ($(shell $(CC) -E -x c -include mbedtls/ssl.h /dev/null >/dev/null 2>&1 && echo yes),yes)
$(error mbedtls is missing: apt-get install libmbedtls-dev (or run: make deps))
endif
LIB_LIBS += -lmbedtls -lmbedx509 -lmbedcrypto

# llhttp: a library of its own from Debian 13 on, before that C sources shipped with node-llhttp,
# which are strict only when compiled so.
ifeq ($(shell $(PKG_CONFIG) --exists libllhttp && echo yes),yes)
LIB_CFLAGS += $(shell $(PKG_CONFIG) --cflags libllhttp)
LIB_LIBS += $(shell $(PKG_CONFIG) --libs libllhttp)
LLHTTP_OBJS :=
else ifeq ($(shell $(CC) -E -x c -include llhttp.h /dev/null >/dev/null 2>&1 && echo yes),yes)
LIB_LIBS += -lllhttp
LLHTTP_OBJS :=
else ifneq ($(wildcard /usr/share/llhttp/llhttp.c),)
LLHTTP_CFLAGS := -DLLHTTP_STRICT_MODE=1 -isystem /usr/share/include/llhttp
LIB_CFLAGS += $(LLHTTP_CFLAGS)
LLHTTP_OBJS := $(patsubst %,$(BUILD)/obj/llhttp/%.o,llhttp api http)
else
$(error llhttp is missing: apt-get install libllhttp-dev, or node-llhttp where there is none \
	(or run: make deps))
endif
endif

# ---- sources -----------------------------------------------------------------------------------

ROOMS := base conf shm net proto pay route ledger worker telemetry manage master cli
SRCS := $(foreach room,$(ROOMS),$(wildcard $(room)/*.c))
OBJS := $(SRCS:%.c=$(BUILD)/obj/%.o)
MAIN_OBJ := $(BUILD)/obj/master/main.o
LIB_OBJS := $(filter-out $(MAIN_OBJ),$(OBJS))

UNIT_SRCS := $(wildcard test/unit/*_test.c)
UNIT_BINS := $(UNIT_SRCS:test/unit/%.c=$(BUILD)/test/%)
FUZZ_SRCS := $(wildcard test/fuzz/fuzz_*.c)
FUZZ_BINS := $(FUZZ_SRCS:test/fuzz/%.c=$(BUILD)/bin/%)
BENCH_SRCS := $(wildcard bench/*.c)
BENCH_BINS := $(BENCH_SRCS:bench/%.c=$(BUILD)/bin/bench-%)
LOAD_SRCS := $(wildcard bench/load/*.c)
BENCH_LOAD := $(BUILD)/bin/bench-load
# A program within the program: its names are its own, and are joined into one object that shows one of them.
MOCK_SRCS := $(wildcard mock/*.c)
MOCK_OBJ := $(BUILD)/obj/mock.o
UPSTREAM_OBJ := $(BUILD)/obj/test/upstream/main.o

TURNPIKE := $(BUILD)/bin/turnpike
SIM_UPSTREAM := $(BUILD)/bin/sim-upstream
# The same program as another version, and as one with another memory file, with places where tests stop it.
NEXT := $(BUILD)/bin/turnpike-next
NEXT_LAYOUT := $(BUILD)/bin/turnpike-next-layout
NEXT_SRCS := base/version.c master/handover.c master/upgrade.c master/successor.c master/spawn.c
NEXT_LAYOUT_SRCS := $(NEXT_SRCS) shm/region.c
NEXT_FLAGS := -DUPGRADE_TEST_POINTS -UTURNPIKE_VERSION -DTURNPIKE_VERSION='"99.0"'
NEXT_LAYOUT_FLAGS := $(NEXT_FLAGS) -DREGION_LAYOUT_VERSION=99u

# What each room stands on: a unit test (ROOM_NAME_test.c) links its own room and these, so that
# it says soon when a room reaches where it must not.
NEEDS_base := base
NEEDS_conf := conf base
NEEDS_shm := shm base
NEEDS_net := net base llhttp
NEEDS_proto := proto base
NEEDS_pay := pay base
NEEDS_route := route shm conf base
NEEDS_ledger := ledger route shm conf base
NEEDS_telemetry := telemetry conf shm base
NEEDS_manage := manage pay ledger net route shm conf base llhttp
NEEDS_all := $(ROOMS) llhttp
# What harnesses are made for: who handles calls and processes has none, and need not be built for them.
NEEDS_fuzz := cli manage pay ledger route shm conf net proto base llhttp
NEEDS_bench_load := base
NEEDS_bench_relay := base

room_of = $(firstword $(subst _, ,$(1)))
archives = $(patsubst %,$(BUILD)/lib/%.a,$(1))
needs_of = $(call archives,$(or $(NEEDS_$(call room_of,$(1))),$(NEEDS_all)))
grouped = -Wl,--start-group $(1) -Wl,--end-group
# A test names its own link flags, such as -Wl,--wrap=fsync, in a line "/* link: FLAGS */".
link_line = $(shell sed -n 's|^/\* link: \(.*\) \*/$$|\1|p' $(1))

# ---- targets -----------------------------------------------------------------------------------

.PHONY: all help deps test-deps unit fuzz fuzz-bins bench-bins test-bins check demo bench doc install \
	uninstall clean FORCE

all: $(if $(wildcard master/main.c),$(TURNPIKE),$(LIB_OBJS) $(LLHTTP_OBJS))
unit: $(UNIT_BINS)
test-bins: all $(SIM_UPSTREAM) $(NEXT) $(NEXT_LAYOUT)
bench-bins: $(BENCH_BINS) $(BENCH_LOAD)
fuzz-bins: $(FUZZ_BINS)

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

deps:
	@dist/deps.sh build

test-deps:
	@dist/deps.sh build deb test

fuzz:
	+@$(MAKE) --no-print-directory FUZZ=1 CC=clang fuzz-bins

check: test-deps
	+@test/run

demo: deps
	+@$(MAKE) --no-print-directory -j2 all test-bins
	@test/demo.sh

BENCH_JSON := $(BUILD)/bench/comparison.json

# The picture is drawn also when figures are invalid: it says which.
bench: all test-bins bench-bins
	@mkdir -p $(dir $(BENCH_JSON)) && rm -f $(BENCH_JSON)
	bench/run --json $(BENCH_JSON) $(BENCH_ARGS); status=$$?; \
		bench/picture.py $(BENCH_JSON) bench/comparison.svg && exit $$status

doc:
	@dist/doc $(BUILD)/doc

clean:
	rm -rf build build-fuzz build-address build-undefined build-address-undefined build-thread
	rm -rf $(BUILD)

# ---- compiling ---------------------------------------------------------------------------------

# Everything compiled depends on this file, which changes when the flags do (-Werror makes no
# difference to what comes out).
FLAGS_TEXT := $(filter-out -Werror,$(CC) $(CPPFLAGS) $(CFLAGS) $(BASE_CFLAGS) $(LIB_CFLAGS) \
	$(LDFLAGS) $(LIB_LIBS))
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_TEXT))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(FLAGS_TEXT))' >$@

# llhttp is one function of 100 KB: where it begins in a cache line makes a fifth of its speed.
$(BUILD)/obj/llhttp/%.o: /usr/share/llhttp/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC    $@')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -falign-functions=64 $(HARDENING) -w $(LLHTTP_CFLAGS) -c -o $@ $<

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC    $@')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(BASE_CFLAGS) $(WARNINGS_$(firstword $(subst /, ,$*))) $(LIB_CFLAGS) \
		-MMD -MP -c -o $@ $<

# What is shipped is within the program, too.
$(BUILD)/obj/cli/shipped.o: $(wildcard routes.conf models.conf dist/completion/*)

# One archive a room, made anew each time so that no object of a source long gone stays in it.
define room_archive
$(BUILD)/lib/$(1).a: $(filter $(BUILD)/obj/$(1)/%,$(LIB_OBJS) $(LLHTTP_OBJS))
	@mkdir -p $$(@D)
	@rm -f $$@.tmp && $(AR) rcs $$@.tmp $$^ && mv $$@.tmp $$@
endef
$(foreach room,$(NEEDS_all),$(eval $(call room_archive,$(room))))

LINK = $(CC) $(CFLAGS) $(LINK_HARDENING) $(LDFLAGS) -pthread

$(TURNPIKE): $(MAIN_OBJ) $(LIB_OBJS) $(MOCK_OBJ) $(LLHTTP_OBJS)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -o $@ $^ $(LIB_LIBS)

# next_program: its program, sources that are compiled anew, flags, folder of their objects.
define next_program
$$(BUILD)/obj/$(4)/%.o: %.c $$(BUILD)/flags
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo '  CC    $$@')
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(BASE_CFLAGS) $$(LIB_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<

$(1): $(2:%.c=$(BUILD)/obj/$(4)/%.o) $(filter-out $(2:%.c=$(BUILD)/obj/%.o),$(OBJS)) $(MOCK_OBJ) $(LLHTTP_OBJS)
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo '  LINK  $$@')
	$$(Q)$$(LINK) -o $$@ $$^ $$(LIB_LIBS)
endef
$(eval $(call next_program,$(NEXT),$(NEXT_SRCS),$(NEXT_FLAGS),next))
$(eval $(call next_program,$(NEXT_LAYOUT),$(NEXT_LAYOUT_SRCS),$(NEXT_LAYOUT_FLAGS),next-layout))

$(MOCK_OBJ): $(MOCK_SRCS:%.c=$(BUILD)/obj/%.o)
	$(Q)$(CC) -r -nostdlib -o $@.tmp $^
	$(Q)$(OBJCOPY) --keep-global-symbol=mock_main $@.tmp && mv $@.tmp $@

$(SIM_UPSTREAM): $(UPSTREAM_OBJ) $(MOCK_OBJ) $(call archives,base)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -o $@ $(UPSTREAM_OBJ) $(MOCK_OBJ) $(call grouped,$(filter %.a,$^)) $(LIB_LIBS)

.SECONDEXPANSION:

$(UNIT_BINS): $(BUILD)/test/%: $(BUILD)/obj/test/unit/%.o $$(call needs_of,$$*)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -o $@ $< $(call grouped,$(filter %.a,$^)) $(LIB_LIBS) -lcmocka \
		$(call link_line,test/unit/$*.c)

$(FUZZ_BINS): $(BUILD)/bin/%: $(BUILD)/obj/test/fuzz/%.o $(call archives,$(NEEDS_fuzz))
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $< $(call grouped,$(filter %.a,$^)) $(LIB_LIBS) \
		$(call link_line,test/fuzz/$*.c)

$(BENCH_BINS): $(BUILD)/bin/bench-%: $(BUILD)/obj/bench/%.o \
		$$(call archives,$$(or $$(NEEDS_bench_$$*),$$(NEEDS_all)))
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -o $@ $< $(call grouped,$(filter %.a,$^)) $(LIB_LIBS) $(call link_line,bench/$*.c)

$(BENCH_LOAD): $(LOAD_SRCS:%.c=$(BUILD)/obj/%.o) $$(call archives,$(NEEDS_bench_load))
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -o $@ $(LOAD_SRCS:%.c=$(BUILD)/obj/%.o) $(call grouped,$(filter %.a,$^)) $(LIB_LIBS)

# Headers that the compiler saw, when they were seen at all.
-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/obj/*/*/*.d)

# ---- installing --------------------------------------------------------------------------------

MAN_PAGES := $(wildcard man/*.[1-8])
man_target = $(mandir)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))
SOCKET_UNITS := dist/turnpike.socket dist/turnpike-tls.socket dist/turnpike-metrics.socket
SAMPLE_CONF := $(firstword $(wildcard dist/routes.conf routes.conf))
SAMPLE_MODELS := $(firstword $(wildcard dist/models.conf models.conf))

install: all
	$(INSTALL) -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(unitdir)' '$(DESTDIR)$(sysusersdir)' \
		'$(DESTDIR)$(tmpfilesdir)' \
		'$(DESTDIR)$(sysconfdir)/turnpike'
	$(INSTALL) -m 755 $(TURNPIKE) '$(DESTDIR)$(bindir)/turnpike'
	$(foreach page,$(MAN_PAGES),$(INSTALL) -D -m 644 $(page) \
		'$(DESTDIR)$(call man_target,$(page))' &&) true
	sed -e 's|@bindir@|$(bindir)|g' -e 's|@sysconfdir@|$(sysconfdir)|g' dist/turnpike.service \
		>'$(DESTDIR)$(unitdir)/turnpike.service'
	chmod 644 '$(DESTDIR)$(unitdir)/turnpike.service'
	$(INSTALL) -m 644 $(SOCKET_UNITS) '$(DESTDIR)$(unitdir)'
	sed -e 's|@sysconfdir@|$(sysconfdir)|g' dist/turnpike.tmpfiles \
		>'$(DESTDIR)$(tmpfilesdir)/turnpike.conf'
	chmod 644 '$(DESTDIR)$(tmpfilesdir)/turnpike.conf'
	$(INSTALL) -m 644 dist/turnpike.sysusers '$(DESTDIR)$(sysusersdir)/turnpike.conf'
	$(INSTALL) -D -m 644 dist/grafana/turnpike.json '$(DESTDIR)$(sharedir)/grafana/turnpike.json'
	$(INSTALL) -D -m 644 dist/prometheus/turnpike.rules.yml \
		'$(DESTDIR)$(sharedir)/prometheus/turnpike.rules.yml'
	$(INSTALL) -D -m 644 dist/completion/turnpike.bash '$(DESTDIR)$(bashdir)/turnpike'
	$(INSTALL) -D -m 644 dist/completion/_turnpike '$(DESTDIR)$(zshdir)/_turnpike'
	$(INSTALL) -D -m 644 dist/completion/turnpike.fish '$(DESTDIR)$(fishdir)/turnpike.fish'
	test -e '$(DESTDIR)$(sysconfdir)/turnpike/environment' || $(INSTALL) -m 600 dist/environment \
		'$(DESTDIR)$(sysconfdir)/turnpike/environment'
	test -e '$(DESTDIR)$(sysconfdir)/turnpike/routes.conf' || $(INSTALL) -m 644 $(SAMPLE_CONF) \
		'$(DESTDIR)$(sysconfdir)/turnpike/routes.conf'
	test -e '$(DESTDIR)$(sysconfdir)/turnpike/models.conf' || $(INSTALL) -m 644 $(SAMPLE_MODELS) \
		'$(DESTDIR)$(sysconfdir)/turnpike/models.conf'

# The configuration is the operator's and stays.
uninstall:
	rm -f '$(DESTDIR)$(bindir)/turnpike' '$(DESTDIR)$(unitdir)/turnpike.service' \
		$(SOCKET_UNITS:dist/%='$(DESTDIR)$(unitdir)/%') '$(DESTDIR)$(tmpfilesdir)/turnpike.conf' \
		'$(DESTDIR)$(sysusersdir)/turnpike.conf' '$(DESTDIR)$(bashdir)/turnpike' \
		'$(DESTDIR)$(zshdir)/_turnpike' '$(DESTDIR)$(fishdir)/turnpike.fish' \
		'$(DESTDIR)$(sharedir)/grafana/turnpike.json' \
		'$(DESTDIR)$(sharedir)/prometheus/turnpike.rules.yml' \
		$(foreach page,$(MAN_PAGES),'$(DESTDIR)$(call man_target,$(page))')

# ---- packages ----------------------------------------------------------------------------------

include dist/package.mk
