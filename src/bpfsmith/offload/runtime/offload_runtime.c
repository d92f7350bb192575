/*
 * Loads and attaches the kernel half for the process that it is linked into; it goes when the process goes.
 *
 * BPFSMITH_OFFLOAD=off leaves it out; BPFSMITH_DEVICES=eth0,veth1 names network devices (default: those that have the address
 * that the server is bound to). BPFSMITH_BREAK_EVEN=0.10 (the default is what the split server was built with) is the share of
 * requests that the kernel half must spare the process: below it the kernel half pauses, and is tried again now and then.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "offload_user.h"
#include "server.image.h"
#include "offload_shared.h"

/* From linux/bpf.h, whose installed form may be older than what is used here. */
enum { MAP_CREATE = 0, PROG_LOAD = 5, BTF_LOAD = 18, LINK_CREATE = 28 };
enum { MAP_TYPE_ARENA = 33, F_MMAPABLE = 1 << 10, PROG_TYPE_SCHED_CLS = 3, PROG_TYPE_XDP = 6, ATTACH_XDP = 37, ATTACH_TCX = 46 };
enum { PSEUDO_MAP_VALUE = 2 };

union attr {
	struct {
		uint32_t type, key_size, value_size, max_entries, flags, inner_fd, numa;
		char name[16];
		uint32_t ifindex, btf_fd, btf_key, btf_value, vmlinux_value;
		uint64_t extra;
	} map;
	struct {
		uint32_t type, insns;
		uint64_t at, license;
		uint32_t log_level, log_size;
		uint64_t log;
		uint32_t version, flags;
		char name[16];
		uint32_t ifindex, attach_type, btf_fd, function_bytes;
		uint64_t functions;
		uint32_t function_count;
	} prog;
	struct {
		uint64_t at, log;
		uint32_t bytes, log_size, log_level;
	} btf;
	struct {
		uint32_t prog_fd, ifindex, attach_type, flags, relative_fd, unused;
		uint64_t revision;
	} link;
	char all[144];
};

extern char __start_bs_state[], __stop_bs_state[];
unsigned char bs_area[BS_AREA_BYTES] __attribute__((section("bs_state"), aligned(4096))) = BS_AREA;
#define CONFIG ((struct bs_config *)bs_area)

static int attached, inside, tried, registered;

static long bpf(int command, union attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof *attr);
}

void bs_register(int state, void *variable)
{
	if (!CONFIG->state[state])
		registered++;
	CONFIG->state[state] = (uintptr_t)variable;
	CONFIG->paused = !attached || registered < BS_REGISTERED;
}

/* What the kernel half did, on all CPUs, since the process began. */
static void counted(unsigned long long *done, unsigned long long *handed_over)
{
	*done = *handed_over = 0;
	for (unsigned cpu = 0; cpu < BS_CPUS; cpu++) {
		volatile struct bs_counters *counters = (void *)(bs_area + BS_COUNTERS_AT + cpu * BS_COUNTERS_STEP);

		*done += counters->answered + counters->consumed;
		*handed_over += counters->handed_over - counters->conflicts;
	}
}

static double break_even(void)
{
	const char *given = getenv("BPFSMITH_BREAK_EVEN");

	return given ? atof(given) : BS_BREAK_EVEN;
}

/*
 * Looks at the share of requests that the kernel half does, each time that WATCHED of them came to the process. Below the
 * break-even it pauses the kernel half, and tries again after a second, then two, four, up to a minute. To stay on after such a
 * rest it needs half as much again, so that a share near the break-even does not turn it on and off.
 */
enum { WATCHED = 512, LOOKED = 64, LONGEST_REST = 64 };

static void watch(void)
{
	static unsigned long long came, done, handed_over;
	static time_t rest = 1, until;
	static int tried_again;
	unsigned long long now_done, now_handed_over, both;
	struct timespec now;
	double share, needed;

	if (++came < (CONFIG->paused ? LOOKED : WATCHED) || registered < BS_REGISTERED)
		return;
	came = 0;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (CONFIG->paused && now.tv_sec < until)
		return;
	counted(&now_done, &now_handed_over);
	both = now_done - done + now_handed_over - handed_over;
	share = both ? (double)(now_done - done) / both : 0;
	needed = break_even() * (tried_again ? 1.5 : 1);
	if (CONFIG->paused) {
		CONFIG->paused = 0;
		tried_again = 1;
	} else if (share < needed) {
		CONFIG->paused = 1;
		until = now.tv_sec + rest;
		fprintf(stderr, "offload: pauses for %ld s: %.0f %% of requests were done in the kernel, and it pays from %.0f %% on\n",
			(long)rest, share * 100, needed * 100);
		rest = rest < LONGEST_REST ? rest * 2 : rest;
	} else {
		tried_again = 0;
		rest = 1;
	}
	done = now_done;
	handed_over = now_handed_over;
}

void bs_enter(void)
{
	unsigned long long *version = &CONFIG->version, seen;

	if (!attached)
		return;
	for (;;) {
		seen = __atomic_load_n(version, __ATOMIC_RELAXED);
		if (!(seen & 1) && __atomic_compare_exchange_n(version, &seen, seen + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			break;
	}
	inside = 1;
	watch();
}

void bs_leave(void)
{
	if (inside)
		__atomic_fetch_add(&CONFIG->version, 1, __ATOMIC_RELEASE);
	inside = 0;
}

static void not_attached(const char *what)
{
	fprintf(stderr, "offload: not attached: %s: %s; all requests are served from userspace\n", what, strerror(errno));
}

/* Puts the arena in the place of the shared variables. Until they are copied back nothing else may be used: what lies on the
 * first and the last page beside them goes too. */
static __attribute__((noinline)) int share(int fd, uint64_t *start, uint64_t *spare, uint64_t bytes)
{
	volatile uint64_t *shared = start;
	uint64_t i;

	for (i = 0; i < bytes / 8; i++)
		spare[i] = shared[i];
	if (mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return -1;
	for (i = 0; i < bytes / 8; i++)
		shared[i] = spare[i];
	return 0;
}

/* The addresses that the kernel half answers to, and the devices that have them. */
static int devices(int fd, unsigned *ifindexes)
{
	struct sockaddr_storage bound;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&bound;
	socklen_t bytes = sizeof bound;
	struct ifaddrs *all, *each;
	const char *named = getenv("BPFSMITH_DEVICES");
	int count = 0, i, kind = 0;
	socklen_t kind_bytes = sizeof kind;

	if (getsockname(fd, (struct sockaddr *)&bound, &bytes) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &kind_bytes))
		return -1;
	errno = EAFNOSUPPORT;
	if ((bound.ss_family != AF_INET && bound.ss_family != AF_INET6) || kind != SOCK_DGRAM)
		return -1;
	if (bound.ss_family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&bound;
		int only = 0;
		socklen_t only_bytes = sizeof only;

		if (!IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) || BS_READS_CLIENT ||
		    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &only_bytes) || only)
			return -1;
		CONFIG->port_be = v6->sin6_port;
		v4->sin_addr.s_addr = INADDR_ANY;
	} else {
		CONFIG->port_be = v4->sin_port;
	}
	if (getifaddrs(&all))
		return -1;
	CONFIG->address_count = 0;
	for (each = all; each; each = each->ifa_next) {
		struct sockaddr_in *address = (struct sockaddr_in *)each->ifa_addr;
		unsigned ifindex = if_nametoindex(each->ifa_name);

		if (!address || address->sin_family != AF_INET || each->ifa_flags & IFF_LOOPBACK)
			continue;
		if (v4->sin_addr.s_addr != INADDR_ANY && v4->sin_addr.s_addr != address->sin_addr.s_addr)
			continue;
		if (named) {
			const char *found = strstr(named, each->ifa_name);
			size_t length = strlen(each->ifa_name);

			if (!found || (found[length] && found[length] != ','))
				continue;
		}
		if (CONFIG->address_count == BS_ADDRESSES)
			break;
		CONFIG->addresses_be[CONFIG->address_count++] = address->sin_addr.s_addr;
		for (i = 0; i < count && ifindexes[i] != ifindex; i++)
			;
		if (i == count)
			ifindexes[count++] = ifindex;
	}
	freeifaddrs(all);
	errno = EADDRNOTAVAIL;
	return count ? count : -1;
}

static int load(int arena, uint64_t start)
{
	static struct bs_insn insns[sizeof bs_insns / sizeof *bs_insns];
	static char log[1 << 16];
	union attr attr;
	unsigned i;

	memcpy(insns, bs_insns, sizeof insns);
	for (i = 0; i < sizeof bs_arena_at / sizeof *bs_arena_at; i++) {
		struct bs_insn *insn = &insns[bs_arena_at[i]];

		insn->registers = (insn->registers & 15) | PSEUDO_MAP_VALUE << 4;
		insn->imm = arena;
		insn[1].imm += (uintptr_t)bs_area - start;
	}
	memset(&attr, 0, sizeof attr);
	attr.btf.at = (uintptr_t)bs_btf;
	attr.btf.bytes = sizeof bs_btf;
	int types = bpf(BTF_LOAD, &attr);

	if (types < 0)
		return -1;
	memset(&attr, 0, sizeof attr);
	attr.prog.btf_fd = types;
	attr.prog.function_bytes = 8;
	attr.prog.functions = (uintptr_t)bs_functions;
	attr.prog.function_count = sizeof bs_functions / 8;
	attr.prog.type = BS_IS_XDP ? PROG_TYPE_XDP : PROG_TYPE_SCHED_CLS;
	attr.prog.insns = sizeof insns / sizeof *insns;
	attr.prog.at = (uintptr_t)insns;
	attr.prog.license = (uintptr_t) "GPL";
	memcpy(attr.prog.name, "bs_offload", 11);
	if (getenv("BPFSMITH_LOG")) {
		attr.prog.log = (uintptr_t)log;
		attr.prog.log_size = sizeof log;
		attr.prog.log_level = 4;
	}
	int fd = bpf(PROG_LOAD, &attr);

	if (attr.prog.log)
		fprintf(stderr, "%s", log);
	return fd;
}

void bs_ready(int fd)
{
	const char *wish = getenv("BPFSMITH_OFFLOAD");
	uint64_t page = sysconf(_SC_PAGESIZE), start, end;
	unsigned ifindexes[BS_ADDRESSES];
	int arena, program, count, i, made = 0;
	union attr attr;
	uint64_t *spare;

	if (tried)
		return;
	tried = 1;
	CONFIG->paused = 1;
	if (wish && !strcmp(wish, "off")) {
		fprintf(stderr, "offload: off, process %d, shared memory at %p\n", getpid(), (void *)bs_area);
		return;
	}
	count = devices(fd, ifindexes);
	if (count < 0) {
		not_attached("no IPv4 address that requests could come to");
		return;
	}
	start = (uintptr_t)__start_bs_state & -page;
	end = ((uintptr_t)__stop_bs_state + page - 1) & -page;
	if (start >> 32 != (end - 1) >> 32) { /* an arena may not lie across a boundary of 4 GB */
		errno = ERANGE;
		not_attached("the shared variables lie across a boundary of 4 GB: start the server again");
		return;
	}
	CONFIG->base = start;
	CONFIG->size = end - start;
	memset(&attr, 0, sizeof attr);
	attr.map.type = MAP_TYPE_ARENA;
	attr.map.max_entries = (end - start) / page;
	attr.map.flags = F_MMAPABLE;
	attr.map.extra = start;
	memcpy(attr.map.name, "arena", 6);
	spare = malloc(end - start);
	arena = bpf(MAP_CREATE, &attr);
	if (!spare || arena < 0) {
		not_attached("no arena (Linux 6.9, CAP_BPF and CAP_PERFMON)");
		free(spare);
		return;
	}
	if (share(arena, (uint64_t *)start, spare, end - start)) {
		not_attached("mapping the arena");
		free(spare);
		return;
	}
	free(spare);
	program = load(arena, start);
	if (program < 0) {
		not_attached("loading the kernel half");
		return;
	}
	for (i = 0; i < count; i++) {
		memset(&attr, 0, sizeof attr);
		attr.link.prog_fd = program;
		attr.link.ifindex = ifindexes[i];
		attr.link.attach_type = BS_IS_XDP ? ATTACH_XDP : ATTACH_TCX;
		made += bpf(LINK_CREATE, &attr) >= 0; /* stays open: the kernel half goes with the process */
	}
	if (!made) {
		not_attached("attaching the kernel half");
		return;
	}
	attached = 1;
	bs_enter();
	CONFIG->paused = registered < BS_REGISTERED;
	fprintf(stderr, "offload: attached to %d of %d devices (%s), UDP port %u, process %d, shared memory at %p\n", made, count,
		BS_IS_XDP ? "xdp" : "tc", ntohs(CONFIG->port_be), getpid(), (void *)bs_area);
}

#if BS_HEAP_BYTES
/* Blocks of 32 bytes and its doubles, each with its class in front; freed ones wait in a list of their class. */
struct block {
	uint64_t class;
	struct block *next; /* the memory itself starts here */
	uint64_t unused[2];
};

static unsigned char heap[BS_HEAP_BYTES] __attribute__((section("bs_state"), aligned(64)));
static struct block *freed[24];
static size_t taken;

static int is_ours(void *memory)
{
	return (unsigned char *)memory >= heap && (unsigned char *)memory < heap + sizeof heap;
}

static size_t room(struct block *block)
{
	return ((size_t)32 << block->class) - 16;
}

void *bs_malloc(size_t bytes)
{
	struct block *block;
	unsigned class = 0;

	while (class < 23 && ((size_t)32 << class) - 16 < bytes)
		class++;
	block = freed[class];
	if (block) {
		freed[class] = block->next;
	} else if (((size_t)32 << class) - 16 >= bytes && ((size_t)32 << class) <= sizeof heap - taken) {
		block = (struct block *)(heap + taken);
		taken += (size_t)32 << class;
		block->class = class;
	} else {
		return malloc(bytes); /* requests that need it are handed over */
	}
	return (char *)block + 16;
}

static struct block *block_of(void *memory)
{
	return (struct block *)((char *)memory - 16);
}

void bs_free(void *memory)
{
	if (!is_ours(memory)) {
		free(memory);
		return;
	}
	struct block *block = block_of(memory);

	block->next = freed[block->class];
	freed[block->class] = block;
}

void *bs_calloc(size_t count, size_t bytes)
{
	size_t all;
	void *memory;

	if (__builtin_mul_overflow(count, bytes, &all))
		return calloc(count, bytes);
	memory = bs_malloc(all);
	return memory ? memset(memory, 0, all) : NULL;
}

void *bs_realloc(void *old, size_t bytes)
{
	void *memory;

	if (!old)
		return bs_malloc(bytes);
	if (!is_ours(old))
		return realloc(old, bytes);
	if (room(block_of(old)) >= bytes)
		return old;
	memory = bs_malloc(bytes);
	if (memory) {
		memcpy(memory, old, room(block_of(old)));
		bs_free(old);
	}
	return memory;
}

char *bs_strndup(const char *text, size_t most)
{
	size_t bytes = strnlen(text, most);
	char *copy = bs_malloc(bytes + 1);

	if (copy) {
		memcpy(copy, text, bytes);
		copy[bytes] = 0;
	}
	return copy;
}

char *bs_strdup(const char *text)
{
	return bs_strndup(text, strlen(text));
}
#endif
