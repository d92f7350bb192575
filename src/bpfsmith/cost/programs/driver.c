/*
 * The user half of measurements: one command a line on stdin, one line of numbers on stdout, times in nanoseconds.
 *
 * File descriptors of maps and programs are inherited from the parent. A command that fails answers "error ERRNO TEXT".
 * Commands that serve or flood do not come back: they end with the process, and the process ends with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_xdp.h>
#include <linux/perf_event.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

#define MAX_SOCKETS 64
#define MAX_SAMPLES 65536
#define MAX_ROUND_TRIPS 4096
#define STAMPS 8

static int sockets[MAX_SOCKETS], socket_count;
static uint64_t samples[MAX_SAMPLES];
static uint64_t stage[STAMPS][MAX_ROUND_TRIPS];
static volatile uint64_t *stamps;
static unsigned char data[1 << 16];
static volatile unsigned long sink;

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static long sys_bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static void fail(void)
{
	printf("error %d %s\n", errno, strerror(errno));
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void sort(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
}

/* xorshift: the keys of a walk, the same for every map type */
static uint32_t next_random(uint32_t *state)
{
	uint32_t x = *state;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

/* --- maps from userspace ------------------------------------------------------------------------------------------ */

static void map_access(int command, int fd, unsigned int entries, unsigned int value_bytes, unsigned int count)
{
	static unsigned char value[1 << 16];
	uint32_t state = 0x9e3779b9u;
	union bpf_attr attr;
	uint64_t start = now();
	for (unsigned int i = 0; i < count; i++) {
		uint32_t key = next_random(&state) % entries;
		memset(&attr, 0, 32);
		attr.map_fd = fd;
		attr.key = (uintptr_t)&key;
		attr.value = (uintptr_t)value;
		if (syscall(SYS_bpf, command, &attr, 32) < 0)
			return fail();
	}
	(void)value_bytes;
	printf("%.3f\n", (double)(now() - start) / count);
}

/* what a system call that does nothing takes: BPF_MAP_LOOKUP_ELEM with a bad file descriptor */
static void empty_syscall(unsigned int count)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = 0xffffff;
	uint64_t start = now();
	for (unsigned int i = 0; i < count; i++)
		syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, 32);
	printf("%.3f\n", (double)(now() - start) / count);
}

static void map_batch(int fd, unsigned int entries, unsigned int key_bytes, unsigned int value_bytes)
{
	void *keys = malloc((size_t)entries * key_bytes), *values = malloc((size_t)entries * value_bytes);
	uint64_t batch = 0;
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.batch.map_fd = fd;
	attr.batch.out_batch = (uintptr_t)&batch;
	attr.batch.keys = (uintptr_t)keys;
	attr.batch.values = (uintptr_t)values;
	attr.batch.count = entries;
	uint64_t start = now();
	long result = sys_bpf(BPF_MAP_LOOKUP_BATCH, &attr);
	uint64_t took = now() - start;
	if (result < 0 && errno != ENOENT)
		fail();
	else
		printf("%.3f\n", (double)took / (attr.batch.count ? attr.batch.count : 1));
	free(keys);
	free(values);
}

static void map_memory(int fd, unsigned int entries, unsigned int count)
{
	size_t bytes = ((size_t)entries * 8 + 4095) & ~4095ul;
	volatile uint64_t *values = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (values == MAP_FAILED)
		return fail();
	uint32_t state = 0x9e3779b9u;
	unsigned long sum = 0;
	for (unsigned int i = 0; i < entries; i++)
		sum += values[i];
	uint64_t start = now();
	for (unsigned int i = 0; i < count; i++)
		state += values[next_random(&state) % entries]; /* zeros; the next key waits for the value */
	uint64_t took = now() - start;
	sink = sum;
	munmap((void *)values, bytes);
	printf("%.3f\n", (double)took / count);
}

static void key_walk(unsigned int entries, unsigned int count)
{
	uint32_t state = 0x9e3779b9u;
	unsigned long sum = 0;
	uint64_t start = now();
	for (unsigned int i = 0; i < count; i++)
		sum += next_random(&state) % entries;
	uint64_t took = now() - start;
	sink = sum;
	printf("%.3f\n", (double)took / count);
}

/* --- channels from eBPF to userspace ------------------------------------------------------------------------------ */

static int run_program(int fd)
{
	static unsigned char frame[64];
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = fd;
	attr.test.data_in = (uintptr_t)frame;
	attr.test.data_size_in = sizeof(frame);
	attr.test.repeat = 1;
	return sys_bpf(BPF_PROG_TEST_RUN, &attr) < 0 ? -1 : (int)attr.test.duration;
}

/* One run of the program fills the ring; then it is emptied. Prints ns a record: to produce, to consume. */
static void ring(int map_fd, int program_fd, unsigned int ring_bytes)
{
	long page = sysconf(_SC_PAGESIZE);
	volatile uint64_t *consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	unsigned char *producer = mmap(NULL, page + 2ul * ring_bytes, PROT_READ, MAP_SHARED, map_fd, page);
	if (consumer == MAP_FAILED || producer == MAP_FAILED)
		return fail();
	int produced = run_program(program_fd);
	if (produced < 0)
		return fail();
	unsigned int records = 0;
	unsigned long sum = 0;
	uint64_t start = now(), at = *consumer;
	while (at < __atomic_load_n((uint64_t *)producer, __ATOMIC_ACQUIRE)) {
		uint32_t *header = (uint32_t *)(producer + page + (at & (ring_bytes - 1)));
		uint32_t length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
		if (length & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
			sum += *(uint64_t *)(header + 2);
			records++;
		}
		at += ((length & ~BPF_RINGBUF_DISCARD_BIT) + 8 + 7) & ~7u;
		__atomic_store_n((uint64_t *)consumer, at, __ATOMIC_RELEASE);
	}
	uint64_t took = now() - start;
	sink = sum;
	munmap((void *)consumer, page);
	munmap(producer, page + 2ul * ring_bytes);
	records = records ? records : 1;
	printf("%.3f %.3f %u\n", (double)produced / records, (double)took / records, records);
}

static int perf_fd = -1;
static void *perf_memory;
static const size_t perf_bytes = 1 << 20;

static void perf_open(int map_fd)
{
	unsigned int cpu = 0;
	getcpu(&cpu, NULL);
	struct perf_event_attr event = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(event), .config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW, .sample_period = 1, .wakeup_events = 1 << 20,
	};
	perf_fd = syscall(SYS_perf_event_open, &event, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (perf_fd < 0)
		return fail();
	perf_memory = mmap(NULL, perf_bytes + sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, perf_fd, 0);
	if (perf_memory == MAP_FAILED || ioctl(perf_fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return fail();
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map_fd;
	attr.key = (uintptr_t)&cpu;
	attr.value = (uintptr_t)&perf_fd;
	if (sys_bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0)
		return fail();
	printf("0\n");
}

static void perf_drain(int program_fd)
{
	struct perf_event_mmap_page *head = perf_memory;
	unsigned char *base = (unsigned char *)perf_memory + sysconf(_SC_PAGESIZE);
	int produced = run_program(program_fd);
	if (produced < 0)
		return fail();
	unsigned int records = 0;
	unsigned long sum = 0;
	uint64_t start = now(), at = head->data_tail;
	while (at < __atomic_load_n(&head->data_head, __ATOMIC_ACQUIRE)) {
		struct perf_event_header *record = (void *)(base + (at & (perf_bytes - 1)));
		if (record->type == PERF_RECORD_SAMPLE) {
			sum += *(uint64_t *)(base + ((at + 16) & (perf_bytes - 1)));
			records++;
		}
		at += record->size;
		__atomic_store_n(&head->data_tail, at, __ATOMIC_RELEASE);
	}
	uint64_t took = now() - start;
	sink = sum;
	records = records ? records : 1;
	printf("%.3f %.3f %u\n", (double)produced / records, (double)took / records, records);
}

/* Elements that the program pushed, popped one system call each. */
static void queue(int map_fd, int program_fd)
{
	int produced = run_program(program_fd);
	if (produced < 0)
		return fail();
	unsigned int records = 0;
	uint64_t value[512], start = now();
	union bpf_attr attr;
	for (;;) {
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = map_fd;
		attr.value = (uintptr_t)value;
		if (sys_bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr) < 0)
			break;
		records++;
	}
	records = records ? records : 1;
	printf("%.3f %.3f %u\n", (double)produced / records, (double)(now() - start) / records, records);
}

/* --- the network --------------------------------------------------------------------------------------------------- */

static struct sockaddr_in address_of(const char *ip, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	inet_pton(AF_INET, ip, &address.sin_addr);
	return address;
}

static int kept(int fd)
{
	sockets[socket_count] = fd;
	return socket_count++;
}

static int keep_deadline(int fd)
{
	struct timeval limit = { .tv_sec = 1 };
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static void connect_to(const char *kind, const char *ip, int port)
{
	int tcp = !strcmp(kind, "tcp"), one = 1;
	int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = address_of(ip, port);
	if (fd < 0 || connect(fd, (void *)&address, sizeof(address)) < 0 || keep_deadline(fd) < 0)
		return fail();
	if (tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	printf("%d\n", kept(fd));
}

static void bound_to(const char *ip, int port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = 8 << 20;
	struct sockaddr_in address = address_of(ip, port);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (fd < 0 || bind(fd, (void *)&address, sizeof(address)) < 0 || keep_deadline(fd) < 0)
		return fail();
	printf("%d\n", kept(fd));
}

static void socket_filter(int index, int program_fd)
{
	if (setsockopt(sockets[index], SOL_SOCKET, SO_ATTACH_BPF, &program_fd, sizeof(program_fd)) < 0)
		return fail();
	printf("0\n");
}

/* A device that leaves checksums to nobody: XDP programs then see finished ones. */
static void checksums_in_software(const char *device)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM, .data = 0 };
	struct ifreq request = { 0 };
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	request.ifr_data = (void *)&off;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return fail();
	close(fd);
	printf("0\n");
}

/* Echo datagrams for ever; `work` bytes are hashed for each before the answer goes out. */
static void serve_udp(const char *ip, int port, int filter_fd, unsigned int work)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = address_of(ip, port), peer;
	if (bind(fd, (void *)&address, sizeof(address)) < 0)
		return fail();
	if (filter_fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &filter_fd, sizeof(filter_fd)) < 0)
		return fail();
	printf("0\n");
	fflush(stdout);
	for (;;) {
		socklen_t length = sizeof(peer);
		ssize_t got = recvfrom(fd, data, sizeof(data), 0, (void *)&peer, &length);
		if (got < 0)
			continue;
		if (stamps)
			stamps[6] = now();
		if (work)
			sink = work_hash(data, work);
		if (got >= 1)
			data[0] |= 0x80; /* an answer of the server, not of a program in the kernel */
		sendto(fd, data, got, 0, (void *)&peer, length);
	}
}

enum { ECHO, SWALLOW, HOLD };

/* Accept one connection, give it to a sockmap or not, and echo, swallow or leave to the kernel what comes, for ever. */
static void serve_tcp(const char *ip, int port, int sockmap_fd, int what)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in address = address_of(ip, port);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0)
		return fail();
	printf("0\n");
	fflush(stdout);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		_exit(1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (sockmap_fd >= 0) {
		uint32_t key = 0;
		union bpf_attr attr;
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = sockmap_fd;
		attr.key = (uintptr_t)&key;
		attr.value = (uintptr_t)&fd;
		if (sys_bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0)
			_exit(1);
	}
	while (what == HOLD)
		pause();
	for (;;) {
		ssize_t got = recv(fd, data, sizeof(data), 0);
		if (got <= 0)
			_exit(0);
		if (stamps)
			stamps[6] = now();
		if (what == ECHO)
			send(fd, data, got, MSG_NOSIGNAL);
	}
}

/* Closed-loop round trips. Prints p50, p99, the mean without the slowest
 * twentieth, the share that the server itself answered, then the median of each stamp
 * since stamp 0 (-1 where there is none). `kernel_share` percent of requests carry the mark that programs answer. */
static void ping(int index, unsigned int count, unsigned int bytes, unsigned int kernel_percent)
{
	int fd = sockets[index];
	unsigned int staged[STAMPS] = { 0 }, served = 0;
	uint64_t total = 0;
	uint32_t state = 0x2545f491u;
	count = count > MAX_ROUND_TRIPS ? MAX_ROUND_TRIPS : count;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int hit = next_random(&state) % 100 < kernel_percent;
		memset(data, 0, 16);
		data[0] = hit ? 1 : 2;
		memcpy(data + 4, &i, 4);
		if (stamps)
			for (int s = 0; s < STAMPS; s++)
				stamps[s] = 0;
		uint64_t start = now();
		if (send(fd, data, bytes, MSG_NOSIGNAL) < 0)
			return fail();
		for (unsigned int got = 0; got < bytes;) {
			ssize_t n = recv(fd, data + got, sizeof(data) - got, 0);
			if (n <= 0) {
				errno = n ? errno : ECONNRESET;
				return fail();
			}
			got += n;
		}
		uint64_t took = now() - start;
		samples[i] = took;
		served += data[0] >> 7;
		if (stamps)
			for (int s = 1; s < STAMPS; s++)
				if (stamps[s] >= stamps[0] && stamps[0])
					stage[s][staged[s]++] = stamps[s] - stamps[0];
	}
	sort(samples, count);
	unsigned int kept = count - count / 20;
	for (unsigned int i = 0; i < kept; i++)
		total += samples[i];
	printf("%.1f %.1f %.1f %.4f", (double)samples[count / 2], (double)samples[count - 1 - count / 100],
	       (double)total / kept, (double)served / count);
	for (int s = 1; s < STAMPS; s++) {
		sort(stage[s], staged[s]);
		printf(" %.1f", staged[s] ? (double)stage[s][staged[s] / 2] : -1.0);
	}
	printf("\n");
}

/* Send datagrams, and receive them if there is a socket for it, in one thread: ns a datagram. */
static void pump(int from, int to, unsigned int count, unsigned int bytes)
{
	unsigned int burst = 32, received = 0;
	uint64_t start = now();
	for (unsigned int sent = 0; sent < count; sent += burst) {
		for (unsigned int i = 0; i < burst; i++)
			if (send(sockets[from], data, bytes, 0) < 0)
				return fail();
		for (unsigned int i = 0; to >= 0 && i < burst; i++) {
			ssize_t got = recv(sockets[to], data, sizeof(data), 0);
			if (got < 0)
				return fail();
			received++;
		}
	}
	printf("%.3f %u\n", (double)(now() - start) / count, received);
}

/* Send a stream for some milliseconds: Gbit/s. */
static void stream(int index, unsigned int milliseconds, unsigned int bytes)
{
	uint64_t start = now(), end = start + milliseconds * 1000000ull, total = 0;
	while (now() < end) {
		ssize_t sent = send(sockets[index], data, bytes, MSG_NOSIGNAL);
		if (sent < 0)
			return fail();
		total += sent;
	}
	printf("%.4f\n", total * 8.0 / (now() - start));
}

/* Datagrams at an even rate, for ever. */
static void flood(int index, unsigned int per_second, unsigned int bytes)
{
	printf("0\n");
	fflush(stdout);
	uint64_t due = now();
	unsigned int burst = per_second / 2000 ? per_second / 2000 : 1;
	memset(data, 0, 64);
	data[0] = 1;
	for (;;) {
		for (unsigned int i = 0; i < burst; i++)
			send(sockets[index], data, bytes, MSG_DONTWAIT);
		due += 1000000000ull * burst / per_second;
		struct timespec until = { due / 1000000000ull, due % 1000000000ull };
		if (now() < due)
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		else
			due = now();
	}
}

/* --- AF_XDP in copy mode ------------------------------------------------------------------------------------------- */

enum { FRAMES = 512, FRAME_BYTES = 2048, RING = 256 };

static struct xsk {
	int fd;
	unsigned char *umem;
	uint64_t *fill, *done;
	struct xdp_desc *in, *out;
	uint32_t *fill_at, *rx_at, *rx_end, *tx_at, *done_at, *done_end;
} xsk;

static int xsk_open(const char *device, int xskmap_fd)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), entries = RING;
	int flags = MAP_SHARED | MAP_POPULATE, access = PROT_READ | PROT_WRITE;
	xsk.umem = mmap(NULL, FRAMES * FRAME_BYTES, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct xdp_umem_reg reg = { .addr = (uintptr_t)xsk.umem, .len = FRAMES * FRAME_BYTES, .chunk_size = FRAME_BYTES };
	struct xdp_mmap_offsets off;
	socklen_t length = sizeof(off);
	if (fd < 0 || setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0 ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &entries, sizeof(entries)) < 0 ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries)) < 0 ||
	    setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)) < 0 ||
	    setsockopt(fd, SOL_XDP, XDP_TX_RING, &entries, sizeof(entries)) < 0 ||
	    getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &length) < 0)
		return -1;
	unsigned char *rx = mmap(NULL, off.rx.desc + RING * sizeof(struct xdp_desc), access, flags, fd, XDP_PGOFF_RX_RING);
	unsigned char *tx = mmap(NULL, off.tx.desc + RING * sizeof(struct xdp_desc), access, flags, fd, XDP_PGOFF_TX_RING);
	unsigned char *fr = mmap(NULL, off.fr.desc + RING * 8, access, flags, fd, XDP_UMEM_PGOFF_FILL_RING);
	unsigned char *cr = mmap(NULL, off.cr.desc + RING * 8, access, flags, fd, XDP_UMEM_PGOFF_COMPLETION_RING);
	if (rx == MAP_FAILED || tx == MAP_FAILED || fr == MAP_FAILED || cr == MAP_FAILED)
		return -1;
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY, .sxdp_ifindex = if_nametoindex(device), .sxdp_queue_id = 0,
	};
	if (bind(fd, (void *)&address, sizeof(address)) < 0)
		return -1;
	uint32_t key = 0;
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = xskmap_fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&fd;
	if (sys_bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0)
		return -1;
	xsk.fd = fd;
	xsk.fill = (uint64_t *)(fr + off.fr.desc), xsk.done = (uint64_t *)(cr + off.cr.desc);
	xsk.in = (void *)(rx + off.rx.desc), xsk.out = (void *)(tx + off.tx.desc);
	xsk.fill_at = (uint32_t *)(fr + off.fr.producer), xsk.tx_at = (uint32_t *)(tx + off.tx.producer);
	xsk.rx_at = (uint32_t *)(rx + off.rx.consumer), xsk.rx_end = (uint32_t *)(rx + off.rx.producer);
	xsk.done_at = (uint32_t *)(cr + off.cr.consumer), xsk.done_end = (uint32_t *)(cr + off.cr.producer);
	for (int i = 0; i < RING; i++)
		xsk.fill[i] = (uint64_t)i * FRAME_BYTES;
	__atomic_store_n(xsk.fill_at, RING, __ATOMIC_RELEASE);
	return 0;
}

/* The next frame that came in; 0 when there is none. */
static int xsk_receive(struct xdp_desc *got)
{
	if (*xsk.rx_at == __atomic_load_n(xsk.rx_end, __ATOMIC_ACQUIRE))
		return 0;
	*got = xsk.in[*xsk.rx_at & (RING - 1)];
	__atomic_store_n(xsk.rx_at, *xsk.rx_at + 1, __ATOMIC_RELEASE);
	return 1;
}

static void xsk_give_back(uint64_t address)
{
	xsk.fill[*xsk.fill_at & (RING - 1)] = address & ~(uint64_t)(FRAME_BYTES - 1);
	__atomic_store_n(xsk.fill_at, *xsk.fill_at + 1, __ATOMIC_RELEASE);
}

/* Echo frames, for ever. */
static void serve_xsk(const char *device, int xskmap_fd)
{
	if (xsk_open(device, xskmap_fd) < 0)
		return fail();
	printf("0\n");
	fflush(stdout);
	struct pollfd poll_for = { .fd = xsk.fd, .events = POLLIN };
	struct xdp_desc got;
	for (;;) {
		poll(&poll_for, 1, -1);
		while (xsk_receive(&got)) {
			unsigned char *frame = xsk.umem + got.addr, mac[6];
			uint32_t saddr;
			uint16_t port;
			memcpy(mac, frame, 6), memcpy(frame, frame + 6, 6), memcpy(frame + 6, mac, 6);
			memcpy(&saddr, frame + 26, 4), memcpy(frame + 26, frame + 30, 4), memcpy(frame + 30, &saddr, 4);
			memcpy(&port, frame + 34, 2), memcpy(frame + 34, frame + 36, 2), memcpy(frame + 36, &port, 2);
			memset(frame + 40, 0, 2);
			frame[42] |= 0x80;
			xsk.out[*xsk.tx_at & (RING - 1)] = got;
			__atomic_store_n(xsk.tx_at, *xsk.tx_at + 1, __ATOMIC_RELEASE);
			sendto(xsk.fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
		}
		while (*xsk.done_at != __atomic_load_n(xsk.done_end, __ATOMIC_ACQUIRE)) {
			xsk_give_back(xsk.done[*xsk.done_at & (RING - 1)]);
			__atomic_store_n(xsk.done_at, *xsk.done_at + 1, __ATOMIC_RELEASE);
		}
	}
}

/* Send datagrams and take them from the AF_XDP socket, in one thread: ns a datagram, and how many came. */
static void pump_xsk(int from, unsigned int count, unsigned int bytes)
{
	unsigned int burst = 32, received = 0;
	unsigned long sum = 0;
	struct xdp_desc got;
	struct pollfd poll_for = { .fd = xsk.fd, .events = POLLIN };
	uint64_t start = now();
	for (unsigned int sent = 0; sent < count; sent += burst) {
		for (unsigned int i = 0; i < burst; i++)
			if (send(sockets[from], data, bytes, 0) < 0)
				return fail();
		poll(&poll_for, 1, 0);
		while (xsk_receive(&got)) {
			sum += xsk.umem[got.addr + 42];
			xsk_give_back(got.addr);
			received++;
		}
	}
	uint64_t took = now() - start;
	sink = sum;
	printf("%.3f %u\n", (double)took / count, received);
}

/* --- native work, and functions to probe ---------------------------------------------------------------------------- */

static void native(const char *kind, unsigned int bytes, unsigned int count)
{
	static unsigned char copy[1 << 16];
	volatile unsigned int length = bytes;
	unsigned long sum = 0;
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = i * 31;
	uint64_t start = now();
	for (unsigned int i = 0; i < count; i++) {
		switch (kind[0]) {
		case 'h': sum += work_hash(data, length); break;
		case 's': sum += work_sum(data, length); break;
		case 'c': sum += work_count(data, length); break;
		case 'm': memcpy(copy, data, length); sum += *(volatile unsigned char *)copy; break;
		default: sum += length; break;
		}
		__asm__ volatile("" ::: "memory");
	}
	uint64_t took = now() - start;
	sink = sum;
	printf("%.3f\n", (double)took / count);
}

/* Starts with `push %rbp`, which the kernel emulates instead of single-stepping it. */
__attribute__((noinline)) void traced_push(unsigned long x)
{
	__asm__ volatile("" : : "r"(x) : "memory");
	sink = x;
}

#ifdef __x86_64__
/* Starts with a five-byte nop, which newer kernels turn into a call. */
__attribute__((naked, noinline)) void traced_nop(unsigned long x)
{
	__asm__ volatile(".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\tret");
}
#else
#define traced_nop traced_push
#endif

static void (*traced(const char *name))(unsigned long)
{
	return strcmp(name, "nop") ? traced_push : traced_nop;
}

static void call(const char *name, unsigned int count)
{
	void (*volatile function)(unsigned long) = traced(name);
	uint64_t start = now();
	for (unsigned int i = 0; i < count; i++)
		function(i);
	printf("%.3f\n", (double)(now() - start) / count);
}

/* Where a function of ours is in the file, which is what uprobes are attached by. */
static void offset(const char *name)
{
	uintptr_t at = (uintptr_t)traced(name), start, end, from;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &from) == 3 && start <= at && at < end) {
			printf("%lu\n", at - start + from);
			fclose(maps);
			return;
		}
	fclose(maps);
	errno = ENOENT;
	fail();
}

/* --- commands ------------------------------------------------------------------------------------------------------- */

static void set_cpu(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return fail();
	printf("0\n");
}

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return fail();
	close(fd);
	printf("0\n");
}

static void map_stamps(int fd)
{
	void *memory = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return fail();
	stamps = memory;
	printf("0\n");
}

#define IS(name) (!strcmp(words[0], name))
#define N(i) ((i) < count ? atoi(words[i]) : -1)
#define S(i) ((i) < count ? words[i] : "")

int main(void)
{
	char line[512];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		char *words[12], *rest = line;
		int count = 0;
		while (count < 12 && (words[count] = strtok_r(count ? NULL : line, " \n", &rest)))
			count++;
		if (!count)
			continue;
		errno = 0;
		if (IS("pin")) set_cpu(N(1));
		else if (IS("enter")) enter(S(1));
		else if (IS("stamps")) map_stamps(N(1));
		else if (IS("lookup")) map_access(BPF_MAP_LOOKUP_ELEM, N(1), N(2), N(3), N(4));
		else if (IS("update")) map_access(BPF_MAP_UPDATE_ELEM, N(1), N(2), N(3), N(4));
		else if (IS("batch")) map_batch(N(1), N(2), 4, N(3));
		else if (IS("mmap")) map_memory(N(1), N(2), N(4));
		else if (IS("walk")) key_walk(N(2), N(4));
		else if (IS("syscall")) empty_syscall(N(1));
		else if (IS("ring")) ring(N(1), N(2), N(3));
		else if (IS("perf-open")) perf_open(N(1));
		else if (IS("perf")) perf_drain(N(2));
		else if (IS("queue")) queue(N(1), N(2));
		else if (IS("connect")) connect_to(S(1), S(2), N(3));
		else if (IS("bind")) bound_to(S(1), N(2));
		else if (IS("filter")) socket_filter(N(1), N(2));
		else if (IS("software-checksums")) checksums_in_software(S(1));
		else if (IS("serve-udp")) serve_udp(S(1), N(2), N(3), N(4) > 0 ? N(4) : 0);
		else if (IS("serve-tcp")) serve_tcp(S(1), N(2), N(3), N(4));
		else if (IS("serve-xsk")) serve_xsk(S(1), N(2));
		else if (IS("open-xsk")) { if (xsk_open(S(1), N(2)) < 0) fail(); else printf("0\n"); }
		else if (IS("pump-xsk")) pump_xsk(N(1), N(2), N(3));
		else if (IS("ping")) ping(N(1), N(2), N(3), N(4) > 0 ? N(4) : 0);
		else if (IS("pump")) pump(N(1), N(2), N(3), N(4));
		else if (IS("stream")) stream(N(1), N(2), N(3));
		else if (IS("flood")) flood(N(1), N(2), N(3));
		else if (IS("native")) native(S(1), N(2), N(3));
		else if (IS("call")) call(S(1), N(2));
		else if (IS("offset")) offset(S(1));
		else { errno = EINVAL; fail(); }
		fflush(stdout);
	}
	return 0;
}
