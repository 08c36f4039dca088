# SPDX-License-Identifier: Apache-2.0
# Makefile - builds, tests and installs rill. `make help` lists what it can do.

VERSION := 0.1.0

# `all` is the first target, whatever else the included files bring.
all:

# ------------------------------------------------------------------ packages

# What Debian calls the things that rill is built with. UCX, libuv, OpenSSL and http-parser are
# wanted, not needed: without the first there is no rdma/, without the second no test of rill within
# libuv's loop, without the others no example of TLS or of HTTP, and everything else works.
packages_build    := gcc libc6-dev pkg-config liburing-dev
packages_test     := check g++ patch
packages_lint     := clang clang-format clang-tidy cppcheck shellcheck
packages_valgrind := valgrind
packages_fuzz     := clang libclang-rt-dev
packages_rdma     := libucx-dev
packages_measure  := strace python3
packages_loops    := libuv1-dev
packages_tls      := libssl-dev
packages_http     := libhttp-parser-dev

# What `make bench` measures beside rill, and with. Each is skipped, by its name, where
# it is not installed; they are much, so deps leaves them out.
packages_bench := python3 strace libuv1-dev libevent-dev golang-go rustc cargo librust-tokio-dev \
                  fio gnuplot-nox ucx-utils

packages := $(packages_build) $(packages_test) $(packages_lint) $(packages_valgrind) \
            $(packages_fuzz) $(packages_rdma) $(packages_measure) $(packages_loops) $(packages_tls) \
            $(packages_http)
apt_install := apt-get install -y --no-install-recommends

##@ Set up

# The package lists may be absent or old, and a mirror may hiccup: so update
# first, and try the whole once more.
define install_packages
	@missing=; \
	for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^.i' || \
	        missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then echo '$@: all packages are installed'; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	    echo "$@: no apt-get here; what is needed is, by its Debian names:$$missing"; exit 1; \
	fi; \
	if [ "$$(id -u)" != 0 ]; then \
	    echo '$@: only root can install packages. Run this, then make again:'; \
	    echo "    sudo apt-get update && sudo $(apt_install)$$missing"; exit 1; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	install() { apt-get update && $(apt_install) "$$@"; }; \
	install $$missing || { echo '$@: that failed; once more'; sleep 5; install $$missing; }
endef

deps: ## install what building, testing, linting and counting need (as root, Debian)
	$(call install_packages,$(packages))

deps-bench: ## what `make bench` sets rill beside, too: Go, Rust, tokio, fio, gnuplot (2 GB)
	$(call install_packages,$(packages) $(packages_bench))

.PHONY: deps deps-bench

# `make deps demo` on a fresh machine: the rest of this file asks pkg-config and
# the compiler, and neither is there while this make reads it. So where deps is
# among the goals, a second make does the others once deps is done.
ifneq ($(filter deps deps-bench,$(MAKECMDGOALS)),)

goals := $(filter-out deps deps-bench,$(MAKECMDGOALS))

# What sudo has built is to be used without it as well.
give_back := $(if $(SUDO_UID),test ! -d build || chown -R $(SUDO_UID):$(SUDO_GID) build,:)

ifneq ($(goals),)
after-deps: $(filter deps deps-bench,$(MAKECMDGOALS))
	@trap '$(give_back)' EXIT; $(MAKE) --no-print-directory $(goals)
$(sort $(goals)): after-deps
	@:
.PHONY: after-deps $(goals)
endif

else # the rest of the file

# --------------------------------------------------------------------- modes

# MODE=release  what is measured and installed; asserts are on
# MODE=debug    for stepping through
# MODE=asan     AddressSanitizer and UndefinedBehaviorSanitizer
# MODE=tsan     ThreadSanitizer
# MODE=fuzz     asan by clang, and watched by libFuzzer (make fuzz)
# MODE=lint     release with every warning an error, objects only (make lint)
MODE ?= release

optimize_release := -O2 -g
optimize_debug   := -O0 -g3
optimize_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
                    -fno-sanitize-recover=all
optimize_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
optimize_fuzz    := $(optimize_asan) -fsanitize=fuzzer-no-link
optimize_lint    := -O2 -Werror

ifndef optimize_$(MODE)
$(error MODE=$(MODE): there are release, debug, asan, tsan, fuzz and lint)
endif

# Objects of two modes never mix, so switching back and forth rebuilds nothing.
objects := build/obj/$(MODE)
output  := $(if $(filter release,$(MODE)),build,build/$(MODE))

# --------------------------------------------------------------------- flags

ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
PKG_CONFIG ?= pkg-config

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wold-style-definition -Wswitch -Wimplicit-fallthrough -Wundef -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wformat=2

# What a future must not do with its locals: be used uninitialized after an
# await, or be jumped over by one. gcc alone can tell.
warnings_gcc := -Wjump-misses-init -Wmaybe-uninitialized

ifeq ($(findstring clang,$(CC)),)
warnings += $(warnings_gcc)
endif
ifdef WERROR
warnings += -Werror
endif

packaged_flags = $(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null)
packaged_libs  = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)

rdma_sources := $(wildcard rdma/*.c)
ucx := $(if $(rdma_sources),$(shell $(PKG_CONFIG) --exists ucx 2>/dev/null && echo ucx))

libuv   := $(shell $(PKG_CONFIG) --exists libuv 2>/dev/null && echo libuv)
openssl := $(shell $(PKG_CONFIG) --exists openssl 2>/dev/null && echo openssl)
# It has no .pc file.
have_http_parser = $(CC) -include http_parser.h -x c -fsyntax-only /dev/null 2>/dev/null
http_parser := $(shell $(have_http_parser) && echo http_parser)

language := -std=gnu11 -D_GNU_SOURCE -I. -pthread -DRILL_HAVE_UCX=$(if $(ucx),1,0) \
            $(call packaged_flags,liburing $(ucx) $(libuv) $(openssl))
compile  := $(language) $(optimize_$(MODE)) $(warnings) $(CPPFLAGS) $(CFLAGS)

# A program without rdma must not load UCX, which does much before main begins:
# --as-needed links only what is used.
link      := -pthread -Wl,--as-needed $(optimize_$(MODE)) $(CFLAGS) $(LDFLAGS)
libraries := $(call packaged_libs,liburing $(ucx)) $(LDLIBS)

test_libraries := $(call packaged_libs,check)

# Thread-locals of a shared library cost a call each, unless they are promised
# their place at program start.
compile_pic := -fPIC -ftls-model=initial-exec

# ------------------------------------------------------------------- sources

core_sources    := $(wildcard runtime/*.c io/*.c net/*.c)
library_sources := $(core_sources) $(if $(ucx),$(rdma_sources))
public_headers  := $(wildcard runtime/*.h io/*.h net/*.h) $(if $(ucx),$(wildcard rdma/*.h))
bench_mains     := bench/echo.c bench/ping.c bench/micro.c bench/files.c $(if $(ucx),bench/rdma_perf.c)
# Only those programs that speak rdma:// have something of it, and so load UCX; without
# UCX they have a stand-in that says so.
bench_rdma      := $(addprefix bench/,$(if $(ucx),rdma_echo.c rdma_load.c rdma_report.c,rdma_absent.c))
bench_common    := $(filter-out $(bench_mains) bench/rdma_% bench/ping_%,$(wildcard bench/*.c))
uring_sources   := $(wildcard bench/peers/uring_*.c bench/peers/peer.c)

# Programs to set rill's beside; those whose library or language is not installed are
# left out. make bench names them.
has_libuv    := $(shell $(PKG_CONFIG) --exists libuv 2>/dev/null && echo libuv)
has_libevent := $(shell $(PKG_CONFIG) --exists libevent 2>/dev/null && echo libevent)
has_tokio    := $(if $(wildcard /usr/share/cargo/registry/tokio-1*),$(shell command -v cargo))
has_go       := $(shell command -v go)

peers := epoll-echo threads-echo $(if $(has_libuv),libuv-echo libuv-files) \
         $(if $(has_libevent),libevent-echo)
peer_sources := $(patsubst %,bench/peers/%.c,$(subst -,_,$(peers))) bench/peers/malloc_count.c

example_sources := $(filter-out $(if $(ucx),,examples/rdma_% examples/guide/rdma_%) \
                   $(if $(openssl),,examples/tls_%) $(if $(http_parser),,examples/http.c), \
                   $(wildcard examples/*.c examples/guide/*.c))
test_sources    := $(filter-out $(if $(ucx),,tests/test_rdma%) $(if $(libuv),,tests/test_libuv.c) \
                   $(if $(openssl),,tests/test_tls%) $(if $(http_parser),,tests/test_http.c), \
                   $(wildcard tests/test_*.c))
test_common     := $(filter-out tests/test_%,$(wildcard tests/*.c tests/sim/*.c))
test_scenarios  := $(filter-out $(if $(ucx),,tests/scenarios/rdma% tests/scenarios/rpc.c),$(wildcard tests/scenarios/*.c))
test_rdma       := $(if $(ucx),$(wildcard tests/rdma/*.c))
test_fuzz       := $(filter-out $(if $(ucx),,tests/fuzz/config.c tests/fuzz/rdma%),$(wildcard tests/fuzz/*.c))
test_simulated  := $(filter tests/rdma/fake_ucx% tests/rdma/sim_ucx%,$(test_rdma))

c_sources := $(library_sources) $(wildcard $(bench_mains)) $(bench_common) $(bench_rdma) $(uring_sources) \
             $(peer_sources) $(example_sources) $(test_sources) $(test_common) $(test_scenarios) \
             $(test_rdma) $(test_fuzz) $(wildcard tests/install/*.c)
c_headers := $(public_headers) $(wildcard bench/*.h bench/peers/*.h tests/*.h tests/sim/*.h \
             tests/scenarios/*.h tests/rdma/*.h tests/fuzz/*.h)
scripts   := $(wildcard .ci/run bench/*.sh tests/*.sh)

# A program is built once its main file is there.
programs := $(if $(wildcard bench/echo.c),rill-echo) \
            $(if $(wildcard bench/ping.c),rill-ping) \
            $(if $(wildcard bench/micro.c),rill-micro) \
            $(if $(wildcard bench/files.c),rill-files) \
            $(if $(and $(ucx),$(wildcard bench/rdma_perf.c)),rill-rdma-perf) \
            $(if $(uring_sources),uring-echo)
programs := $(programs:%=$(output)/bin/%)
examples := $(example_sources:examples/%.c=$(output)/examples/%)
tests    := $(test_sources:tests/%.c=$(output)/tests/%)
fuzzers  := $(patsubst %.c,$(output)/%,$(filter-out tests/fuzz/input.c,$(test_fuzz)))

# Those in which more than one thread runs.
thread_tests := $(filter $(patsubst %,tests/test_%.c,remote remote_call waker workers blocking bridge \
                           directory truncate embedding libuv resolve connect),$(test_sources))

# What is loaded with UCX is a library of its own: UCX takes over signals before main begins,
# which a program that does without rdma has not asked for.
libraries_built := librill $(if $(ucx),librill-rdma)
archives := $(if $(ucx),$(output)/lib/librill-rdma.a) $(output)/lib/librill.a
shared   := $(libraries_built:%=$(output)/lib/%.so.$(VERSION))

# Programs embed rill's structs by value, so one that was linked with another ABI has to
# find no library rather than this one. Before 1.0 every 0.y may change it.
version    := $(subst ., ,$(VERSION))
so_version := $(firstword $(version))$(if $(filter 0,$(firstword $(version))),.$(word 2,$(version)))

# A plugin that is linked with rill may be unloaded while threads of rill's pools are idle:
# the library stays, and they return into code that is there.
link_shared := -shared -Wl,-z,nodelete

# The names by which a library is found in the directory where it lies.
link_names = ln -sf $(1).so.$(VERSION) $(2)/$(1).so.$(so_version) && \
             ln -sf $(1).so.$(so_version) $(2)/$(1).so

object = $(patsubst %.c,$(objects)/%.o,$(1))
pic    = $(patsubst %.c,$(objects)/pic/%.o,$(1))

# --------------------------------------------------------------------- rules

# `make V=1` shows the commands, and otherwise one short line tells of each.
quiet := $(if $(V),,@)
say    = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)

##@ Build

all: library programs examples ## the library, the programs and the examples (the default)

library: $(archives) $(shared) | note-rdma ## build/lib/: librill and librill-rdma, .a and .so

programs: $(programs) ## build/bin/: rill-echo, rill-ping, rill-micro, rill-files, rill-rdma-perf, uring-echo

examples: $(examples) | note-openssl note-http-parser ## build/examples/

tests: $(tests) | note-libuv ## build/tests/

objects: $(call object,$(c_sources))

# What was said on the command line or in this file is part of every object, and
# the lists of sources and how they are linked are part of the libraries. These files hold
# the two, and are written only when they change.
$(objects)/flags:   text := $(CC) $(compile) $(compile_pic) $(link) $(libraries)
$(objects)/members: text := librill: $(core_sources) librill-rdma: $(if $(ucx),$(rdma_sources)) $(link_shared) .so.$(so_version)
$(objects)/flags $(objects)/members: FORCE
	@mkdir -p $(@D)
	@echo '$(text)' | cmp -s - $@ || echo '$(text)' > $@

# -MMD notes the headers that an object was made from, -MP lets them disappear.
$(objects)/%.o: %.c $(objects)/flags | have-build
	@mkdir -p $(@D)
	$(call say,CC)
	$(quiet)$(CC) $(compile) -MMD -MP -c -o $@ $<

$(objects)/pic/%.o: %.c $(objects)/flags | have-build
	@mkdir -p $(@D)
	$(call say,CC)
	$(quiet)$(CC) $(compile) $(compile_pic) -MMD -MP -c -o $@ $<

-include $(patsubst %.c,$(objects)/%.d,$(c_sources))
-include $(patsubst %.c,$(objects)/pic/%.d,$(library_sources))

$(output)/lib/librill.a:      $(call object,$(core_sources))
$(output)/lib/librill-rdma.a: $(call object,$(rdma_sources))

$(archives): $(objects)/members | have-build
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(quiet)$(AR) rcs $@ $(filter %.o,$^)

$(output)/lib/librill.so.$(VERSION):      $(call pic,$(core_sources))
$(output)/lib/librill-rdma.so.$(VERSION): $(call pic,$(rdma_sources)) | $(output)/lib/librill.so.$(VERSION)
$(output)/lib/librill-rdma.so.$(VERSION): core := -L$(output)/lib -lrill

$(shared): $(objects)/members | have-build
	@mkdir -p $(@D)
	$(call say,LD)
	$(quiet)$(CC) $(link) $(link_shared) -Wl,-soname,$(@F:%.$(VERSION)=%.$(so_version)) -o $@ \
	    $(filter %.o,$^) $(core) $(libraries)
	@$(call link_names,$(@F:%.so.$(VERSION)=%),$(@D))

# Programs, examples and tests are linked in the same way: objects, the archives,
# and then the libraries that these use.
define link_program
@mkdir -p $(@D)
$(call say,LD)
$(quiet)$(CC) $(link) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(1) $(libraries)
endef

$(output)/bin/rill-echo:  $(call object,bench/echo.c $(bench_rdma))
$(output)/bin/rill-ping:  $(call object,$(wildcard bench/ping*.c) $(bench_rdma))
$(output)/bin/rill-micro: $(call object,bench/micro.c)
$(output)/bin/rill-files: $(call object,bench/files.c)
$(output)/bin/rill-rdma-perf: $(call object,bench/rdma_perf.c)
$(output)/bin/uring-echo: $(call object,$(uring_sources))

$(programs): $(call object,$(bench_common)) $(archives)
	$(call link_program,-lm)

# Peers in C have rill's command line and nothing else of rill's.
peer_programs  := $(peers:%=$(output)/peers/%)
peer_libraries  = $(call packaged_libs,$(filter libuv libevent,$(firstword $(subst -, ,$(@F)))))

$(output)/peers/%: $(call object,bench/peers/peer.c bench/cli.c bench/cli_usage.c bench/json.c) $(archives)
	$(call link_program,$(peer_libraries))

$(foreach peer,$(peers),$(eval \
    $(output)/peers/$(peer): $(call object,bench/peers/$(subst -,_,$(peer)).c)))

$(output)/peers/malloc-count.so: $(call pic,bench/peers/malloc_count.c)
	@mkdir -p $(@D)
	$(call say,LD)
	$(quiet)$(CC) $(link) -shared -o $@ $(filter %.o,$^)

tokio_programs := $(addprefix $(output)/peers/,tokio-echo tokio-micro tokio-files)
tokio_sources  := $(wildcard bench/peers/tokio/Cargo.toml bench/peers/tokio/src/bin/*.rs)

# One cargo builds all of them (&:). Its configuration is found from where it runs.
$(tokio_programs) &: $(tokio_sources)
	@mkdir -p $(output)/peers
	$(call say,CARGO)
	$(quiet)cd bench/peers/tokio && CARGO_TARGET_DIR=$(CURDIR)/build/cargo \
	    cargo build --quiet --release --offline
	@cp $(addprefix build/cargo/release/,$(notdir $(tokio_programs))) $(output)/peers/
	@touch $(tokio_programs)

$(output)/peers/go-%: bench/peers/go/%/main.go bench/peers/go/go.mod
	@mkdir -p $(@D)
	$(call say,GO)
	$(quiet)cd bench/peers/go && GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOPROXY=off \
	    GOCACHE=$(CURDIR)/build/go-cache go build -o $(CURDIR)/$@ ./$*

peers: $(peer_programs) $(output)/peers/malloc-count.so $(if $(has_tokio),$(tokio_programs)) \
       $(if $(has_go),$(addprefix $(output)/peers/,go-echo go-micro))
	@missing='$(strip $(if $(has_libuv),,libuv1-dev) $(if $(has_libevent),,libevent-dev) \
	    $(if $(has_tokio),,cargo librust-tokio-dev) $(if $(has_go),,golang-go) \
	    $(foreach tool,fio gnuplot strace,$(if $(shell command -v $(tool)),,$(tool))) \
	    $(if $(shell command -v ucx_perftest),,ucx-utils))'; \
	test -z "$$missing" || \
	    echo "bench: skipped for want of: $$missing (as root, make deps-bench installs all)"

$(examples): $(output)/examples/%: $(objects)/examples/%.o $(archives)
	$(call link_program,$(example_libraries))

$(output)/examples/tls_%: example_libraries := $(call packaged_libs,$(openssl))
$(output)/examples/http:  example_libraries := -lhttp_parser

# Some tests are of what the programs are made of, and some run the programs.
$(output)/tests/test_cli:       $(call object,bench/cli.c bench/cli_usage.c)
$(output)/tests/test_histogram: $(call object,bench/histogram.c)
$(output)/tests/test_json:      $(call object,bench/json.c)
$(output)/tests/test_scenarios: $(call object,$(test_scenarios) $(test_simulated))
# What the library allocates while it runs is refused now and then: tests/scenarios/scenario.c.
$(output)/tests/test_scenarios: test_libraries += -Wl,--wrap=malloc,--wrap=aligned_alloc,--wrap=mmap
# A kernel that is too old is played, and cancels of all tasks are counted.
$(output)/tests/test_reactor: test_libraries += \
    -Wl,--wrap=io_uring_register_probe,--wrap=rill_executor_cancel_all
# Wakes are counted.
$(output)/tests/test_rwlock: test_libraries += -Wl,--wrap=rill_task_wake
# Memory is refused.
$(output)/tests/test_rdma_message: test_libraries += -Wl,--wrap=malloc
$(output)/tests/test_rdma_config: test_libraries += -Wl,--wrap=realloc
$(output)/tests/test_libuv:     test_libraries += $(call packaged_libs,libuv)
$(output)/tests/test_tls_echo:  test_libraries += $(call packaged_libs,openssl)
$(filter $(output)/tests/test_programs% $(output)/tests/test_tls% $(output)/tests/test_http,$(tests)): \
    | $(programs) $(examples)
$(filter $(output)/tests/test_rdma%,$(tests)): $(call object,$(test_rdma))
$(filter $(patsubst %,$(output)/tests/test_rdma_%,echo examples producer programs rpc_programs), \
    $(tests)): | $(programs) $(examples)

$(tests): $(output)/tests/%: $(objects)/tests/%.o $(call object,$(test_common)) $(archives) | have-test
	$(call link_program,$(test_libraries))

# Check's assertions are told to libFuzzer: tests/fuzz/input.c.
$(fuzzers): test_libraries += -fsanitize=fuzzer -Wl,--wrap=_ck_assert_failed,--wrap=_mark_point
$(fuzzers): $(output)/%: $(objects)/%.o $(call object,tests/fuzz/input.c bench/cli.c \
            bench/cli_usage.c bench/json.c $(test_common) $(test_simulated)) $(archives) | have-test
	$(call link_program,$(test_libraries))

compile_commands.json: FORCE ## for editors and language servers
	@{ echo '['; separator=; \
	for file in $(c_sources); do \
	    printf '%s{"directory": "%s", "file": "%s", "command": "%s"}\n' "$$separator" \
	        "$(CURDIR)" "$$file" '$(CC) $(compile) -c '"$$file"; \
	    separator=,; \
	done; echo ']'; } > $@

# ------------------------------------------------- is everything there?

# A missing package is one clear line, not a screen of compiler errors. Asked is
# for the thing itself: a machine that is no Debian may have it as well.
probe_gcc          := $(CC) --version
probe_libc6-dev    := echo '\#include <stdio.h>' | $(CC) -E -
probe_pkg-config   := $(PKG_CONFIG) --version
probe_liburing-dev := $(PKG_CONFIG) --exists 'liburing >= 2.3'
probe_check        := $(PKG_CONFIG) --exists check
probe_g++          := $(CXX) --version
probe_patch        := patch --version
probe_clang        := clang --version
probe_clang-format := clang-format --version
probe_clang-tidy   := clang-tidy --version
probe_cppcheck     := cppcheck --version
probe_shellcheck   := shellcheck --version
probe_valgrind     := valgrind --version
probe_fuzzer       := echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
                      clang -x c -fsanitize=fuzzer,address,undefined -o /dev/null -
probe_python3      := python3 --version
probe_strace       := strace --version

define require
@missing=; \
$(foreach package,$(1),{ $(probe_$(package)); } >/dev/null 2>&1 || missing="$$missing $(package)";) \
test -z "$$missing" || { \
    echo "rill: not installed, or too old:$$missing"; \
    echo 'rill: as root, `make deps` installs everything that rill uses; or only what is missing:'; \
    echo "rill:     sudo $(apt_install)$$missing"; \
    exit 2; \
} >&2
endef

have-build:
	$(call require,$(packages_build))
have-test: have-build
	$(call require,$(packages_test))
have-lint: have-build
	$(call require,$(packages_lint))
have-measure: have-build
	$(call require,python3)
have-valgrind: have-build
	$(call require,$(packages_valgrind))

note-rdma: have-build
ifneq ($(rdma_sources),)
ifeq ($(ucx),)
	@echo 'rill: pkg-config finds no ucx (package libucx-dev): building without rdma/'
endif
endif

note-libuv: have-test
ifeq ($(libuv),)
	@echo 'rill: pkg-config finds no libuv (package libuv1-dev): leaving out tests/test_libuv.c'
endif

note-openssl: have-build
ifeq ($(openssl),)
	@echo 'rill: pkg-config finds no openssl (package libssl-dev): leaving out examples/tls_echo.c'
endif

note-http-parser: have-build
ifeq ($(http_parser),)
	@echo 'rill: there is no http_parser.h (package libhttp-parser-dev): leaving out examples/http.c'
endif

##@ Run and test

demo: programs ## see it work: the echo servers and their latencies, in short
	@bench/demo.sh $(output)/bin

# check_harness.sh tests those servers of others that have been built, which must not be old ones.
peers_tested := $(wildcard $(peer_programs) $(if $(has_tokio),$(tokio_programs)) \
                  $(if $(has_go),$(output)/peers/go-echo))

# Every test runs twice, as it is released and with the sanitizers, those with threads
# once more under ThreadSanitizer, and together with what else has to be true: headers
# that stand alone, a README that does not lie. The last line counts them all. With a
# MODE of its own, only that one runs.
check: all tests $(peers_tested) ## build and run all tests, in release and in asan mode, with threads in tsan mode
ifeq ($(MODE),release)
	@$(MAKE) --no-print-directory MODE=asan examples tests
	@$(MAKE) --no-print-directory MODE=tsan $(thread_tests:tests/%.c=build/tsan/tests/%)
endif
	@CC='$(CC)' CXX='$(CXX)' tests/run.sh tests/check_headers.sh tests/check_docs.sh \
	    $(if $(filter release,$(MODE)),tests/check_install.sh tests/check_harness.sh tests/check_run.sh) $(tests) \
	    $(if $(filter release,$(MODE)),$(test_sources:tests/%.c=build/asan/tests/%) \
	        $(thread_tests:tests/%.c=build/tsan/tests/%))

tsan: have-test ## run the tests with threads under ThreadSanitizer
	@$(MAKE) --no-print-directory MODE=tsan $(thread_tests:tests/%.c=build/tsan/tests/%)
	@tests/run.sh $(thread_tests:tests/%.c=build/tsan/tests/%)

test: $(if $(NAME),$(output)/tests/test_$(NAME)) ## run one and see each case: make test NAME=wheel [MODE=asan]
	@$(if $(NAME),CK_VERBOSITY=verbose $<,echo 'make test NAME=wheel runs tests/test_wheel.c'; exit 2)

check-headers: have-test ## compile each public header alone, as C11 and as C++17
	@CC='$(CC)' CXX='$(CXX)' tests/check_headers.sh

check-install: library programs have-test ## install into a temporary directory, and use what is there
	@CC='$(CC)' tests/check_install.sh

bench: programs peers have-measure ## rill beside its peers, into build/bench/ (10 minutes; QUICK=1: one)
	@python3 bench/harness run --build $(output) --output build/bench $(if $(QUICK),--quick)

bench-echo: programs peers have-measure ## some of its workloads alone: make bench-echo ONLY=churn ROUNDS=9
	@python3 bench/harness echo --build $(output) --only '$(ONLY)' $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(QUICK),--quick)

bench-messages: programs have-measure ## rill's messages over UCX beside ucx_perftest (3 minutes; QUICK=1)
	@python3 bench/harness messages --build $(output) --output build/bench $(if $(QUICK),--quick)

counts: programs peers have-measure ## count system calls, allocations, instructions, bytes, into build/bench/
	@python3 bench/harness counts --build $(output) --output build/bench

check-counts: programs $(output)/peers/malloc-count.so have-measure ## fail where one has grown since bench/counts.json
	@python3 bench/harness check-counts --build $(output) --kept bench/counts.json

keep-counts: programs $(output)/peers/malloc-count.so have-measure ## take what is counted now as bench/counts.json
	@python3 bench/harness keep-counts --build $(output) --kept bench/counts.json

publish-bench: ## copy the report of the last make bench into docs/benchmarks/, dated
	@python3 bench/harness publish --output build/bench --docs docs/benchmarks

check-docs: library examples ## compare the programs in the documentation with those in examples/
	@tests/check_docs.sh

# Check forks for every case, and memcheck looks at each of these processes when it
# ends: a leak or a bad access fails the case that it is in. Valgrind does not see
# what the kernel writes through a ring, so tests zero the buffers that they receive
# in; and it keeps RLIMIT_NOFILE for itself, so a test of that asks for the variable.
memcheck := valgrind --quiet --error-exitcode=99 --leak-check=full \
            --suppressions=tests/suppressions/valgrind.supp

valgrind: examples tests have-valgrind ## run the tests under valgrind
	@TEST_UNDER_VALGRIND=1 TEST_SLOWNESS=20 TEST_WRAPPER='$(memcheck)' TEST_TIMEOUT=600 CK_TIMEOUT_MULTIPLIER=20 \
	    tests/run.sh $(tests)

sim: ## [SEEDS=2000] [SEED=1] [SCENARIO=echo]: the scenarios in as many worlds, with sanitizers
	@$(MAKE) --no-print-directory MODE=asan build/asan/tests/test_scenarios
	@SIM_SEEDS=$(or $(SEEDS),2000) SIM_SEED=$(or $(SEED),1) SIM_SCENARIO=$(SCENARIO) \
	    ASAN_OPTIONS=detect_stack_use_after_return=1 CK_TIMEOUT_MULTIPLIER=100000 \
	    build/asan/tests/test_scenarios

mutants: have-test ## [NAME=...]: plant known bugs, one at a time: the tests have to catch each
	@tests/mutants.sh $(NAME)

# What libFuzzer finds worth keeping is in build/fuzz/corpus, and the next run begins with it.
# An input that fails is put into build/fuzz, and is run again as an argument of its target.
fuzz: have-test ## [NAME=url] [SECONDS=60]: what comes from outside, as libFuzzer makes it up
	@if ! { $(probe_fuzzer); } >/dev/null 2>&1; then \
	    echo 'fuzz: skipped: no clang with libFuzzer here (packages: $(packages_fuzz))'; exit 0; \
	fi; \
	$(MAKE) --no-print-directory MODE=fuzz fuzz-run

ifeq ($(MODE),fuzz)
fuzz-run: $(if $(NAME),$(output)/tests/fuzz/$(NAME),$(fuzzers))
	@set -e; for target in $(notdir $^); do \
	    mkdir -p build/fuzz/corpus/$$target; echo "  FUZZ  $$target"; \
	    nice $(output)/tests/fuzz/$$target build/fuzz/corpus/$$target -verbosity=0 \
	        -artifact_prefix=build/fuzz/$$target- -len_control=0 -max_len=1500 \
	        -max_total_time=$(or $(SECONDS),60) -rss_limit_mb=2048 -timeout=60; \
	done
endif

# A stock Debian 6.1 kernel, the oldest that rill supports, in a virtual machine
# without acceleration: slow, so not a part of check. What the machine needs, QEMU
# and a kernel package that is only unpacked, the script installs or names.
#
# The same kernel has soft-RoCE, a device for RDMA that is emulated too: the tests of
# rdma run once more over one that talks to itself, and over two with a wire between.
vm_floor := floor
vm_rdma  := loop-rc_v loop-ud_verbs wire-rc_v wire-ud_verbs

check-vm: all tests ## the tests in a virtual machine: check-vm-floor and check-vm-rdma
	@tests/check_vm.sh $(vm_floor) $(vm_rdma) -- $(tests)

check-vm-floor: all tests ## all tests on Linux 6.1, the oldest kernel (some minutes)
	@tests/check_vm.sh $(vm_floor) -- $(tests)

check-vm-rdma: all tests ## the tests of rdma over soft-RoCE, by rc and ud, looped and wired (some minutes)
	@tests/check_vm.sh $(vm_rdma) -- $(tests)

##@ Keep it good

lint: lint-format lint-gcc lint-clang lint-tidy lint-cppcheck lint-shell ## format, warnings, clang-tidy, cppcheck, shellcheck
	@echo 'lint: nothing to complain about'

format: have-lint ## lay out all sources as .clang-format says
	@clang-format -i $(c_sources) $(c_headers)

lint-format: have-lint
	@clang-format --dry-run -Werror $(c_sources) $(c_headers)

# Some of gcc's warnings come from its optimizer, so it has to compile in earnest.
lint-gcc: have-test
	@$(MAKE) --no-print-directory MODE=lint say= objects

lint-clang: have-lint
	@clang -fsyntax-only -Werror $(language) $(filter-out $(warnings_gcc),$(warnings)) $(c_sources)

# clang-tidy is slow and talks of what it left out: one file per processor at a
# time, and silence where all is well.
lint-tidy: have-lint
	@printf '%s\n' $(c_sources) | xargs -P $$(nproc) -I FILE sh -c \
	    'told=$$(clang-tidy --quiet FILE -- $(language) 2>&1) || { echo "$$told"; exit 1; }'

# cppcheck does not read the system's headers; two macros of the test library are all
# that it misses, and the lists of <sys/queue.h>, which the peers are made with. Its
# uninitvar and memleak do not follow a pointer through a struct or a conditional; the
# compilers, the sanitizers and valgrind do.
lint-cppcheck: have-lint
	@cppcheck --quiet --error-exitcode=1 -j $$(nproc) --std=c11 --language=c -I. \
	    --enable=warning,performance,portability --inline-suppr --library=posix,gnu \
	    --suppress=readdirCalled --suppress=uninitvar --suppress=memleak \
	    '-DSTART_TEST(name)=static void name(int _i)' -DEND_TEST= -D__linux__ -D_GNU_SOURCE \
	    $(filter-out $(peer_sources),$(c_sources))

lint-shell: have-lint
	@shellcheck $(scripts)

clean: ## remove everything that was built
	@rm -rf build compile_commands.json

##@ Install

PREFIX     ?= /usr/local
bindir     ?= $(PREFIX)/bin
libdir     ?= $(PREFIX)/lib
includedir ?= $(PREFIX)/include

# A blank makes two paths of one, and uninstall would remove the second; rill.pc is used in
# any directory.
ifneq ($(filter install uninstall,$(MAKECMDGOALS)),)
$(foreach name,DESTDIR PREFIX bindir libdir includedir,$(if $(word 2,[$($(name))]), \
    $(error $(name)='$($(name))': rill takes no blanks in a path, nor around it)))
$(foreach name,bindir libdir includedir,$(if $(filter /%,$($(name))),, \
    $(error $(name)='$($(name))': give it, or PREFIX, an absolute path)))
endif

# Where a file or directory is put, as the shell is to read it.
destination = '$(subst ','\'',$(DESTDIR)$(1))'

# Headers include one another from the root ("io/op.h"), so they keep their
# directories, below one that is rill's own. rill.pc knows where that is.
define librill_pc
Name: rill
Description: single-threaded async runtime over io_uring
Version: $(VERSION)
Requires: liburing
Cflags: -I$(includedir)/rill -pthread
Libs: -L$(libdir) -lrill -pthread
endef
define librill_rdma_pc
Name: rill-rdma
Description: the part of rill that speaks RDMA, over UCX
Version: $(VERSION)
Requires: rill = $(VERSION)
Requires.private: ucx
Libs: -L$(libdir) -lrill-rdma
endef
export librill_pc
export librill_rdma_pc

# Whoever installs, others can read what is there: install(1) asks no umask, and -D makes
# the directories that are missing and leaves the others as they are.
put      = install -D -m $(1) -t $(call destination,$(3)) $(2)
put_text = printf '%s\n' "$$$(1)" | install -D -m 644 /dev/stdin $(call destination,$(2))

# Everything of this version, with UCX or without, whichever of the two was installed.
installed_programs  := $(sort $(notdir $(programs)) rill-rdma-perf)
installed_libraries := $(foreach library,librill librill-rdma,$(addprefix $(library), \
                       .a .so .so.$(so_version) .so.$(VERSION))) pkgconfig/rill.pc pkgconfig/rill-rdma.pc
define remove
	rm -f $(foreach file,$(installed_programs),$(call destination,$(bindir)/$(file)))
	rm -f $(foreach file,$(installed_libraries),$(call destination,$(libdir)/$(file)))
	rm -rf $(call destination,$(includedir)/rill)
endef

# What is there goes first: a header that has been renamed, or all of librill-rdma where it
# is built no more, would pass for a part of this one. Root's install is followed by
# ldconfig, or what is linked with the libraries does not find them.
install: library programs ## [PREFIX=/usr/local] [DESTDIR=]
	$(remove)
	$(call put,644,$(archives),$(libdir))
	$(call put,755,$(shared),$(libdir))
	for library in $(libraries_built); do \
	    $(call link_names,$$library,$(call destination,$(libdir))) || exit 1; \
	done
	for header in $(public_headers); do \
	    install -D -m 644 $$header $(call destination,$(includedir)/rill)/$$header || exit 1; \
	done
	$(call put,755,$(programs),$(bindir))
	$(call put_text,librill_pc,$(libdir)/pkgconfig/rill.pc)
	$(if $(ucx),$(call put_text,librill_rdma_pc,$(libdir)/pkgconfig/rill-rdma.pc))
	[ -n $(call destination) ] || [ "$$(id -u)" != 0 ] || ldconfig

uninstall: ## with the same PREFIX and DESTDIR
	$(remove)

##@ Help

help: ## this list; MODE=debug, asan or tsan, WERROR=1 and V=1 go with any build
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z_.-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

FORCE:

.PHONY: all library programs examples tests objects FORCE \
        have-build have-test have-lint have-measure have-valgrind note-rdma note-libuv note-openssl \
        note-http-parser \
        demo check check-vm check-vm-floor check-vm-rdma tsan test check-headers check-docs check-install valgrind \
        sim mutants fuzz fuzz-run peers bench bench-echo bench-messages counts check-counts keep-counts \
        publish-bench \
        lint format lint-format lint-gcc lint-clang lint-tidy lint-cppcheck lint-shell \
        clean install uninstall help

endif # of the rest
