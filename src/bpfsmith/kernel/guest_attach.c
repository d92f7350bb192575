/* The part of a guest that attaches a loaded program, gives it reasons to run, and takes it off again. Nothing stays: every
 * attachment is a file descriptor. plan.py says which way is for which program type.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

/* Fields of union bpf_attr that the headers of an older machine lack, by the offsets of include/uapi/linux/bpf.h. */
struct link_create {
	uint32_t prog_fd, target, attach_type, flags;
	union {
		struct { uint32_t multi_flags, count; uint64_t symbols, addresses, cookies; } kprobe;
		struct { uint32_t pf, hook; int32_t priority; uint32_t flags; } netfilter;
		uint64_t room[10];
	};
};

static long link_create(struct link_create *attr)
{
	return syscall(__NR_bpf, BPF_LINK_CREATE, attr, sizeof(*attr));
}

static int number_in(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY), found = -1;
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		found = atoi(text);
	if (fd >= 0)
		close(fd);
	return found;
}

static long perf_event(struct perf_event_attr *attr, int prog)
{
	long fd = syscall(__NR_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static long at_tracepoint(int prog, const char *name)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .sample_period = 1, .wakeup_events = 1 };
	char path[256];
	int id;

	mount("t", "/sys/kernel/tracing", "tracefs", 0, "");
	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", name);
	if ((id = number_in(path)) < 0) {
		errno = ENOENT;
		return -1;
	}
	attr.config = id;
	return perf_event(&attr, prog);
}

static long at_function(int prog, const char *name, int on_return)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .config = on_return, .kprobe_func = (uintptr_t)name };
	int type = number_in("/sys/bus/event_source/devices/kprobe/type");

	if (type < 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	attr.type = type;
	return perf_event(&attr, prog);
}

static long at_clock(int prog)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 1000000,
	};
	return perf_event(&attr, prog);
}

static long raw_tracepoint(int prog, const char *name)
{
	union bpf_attr attr = {};
	attr.raw_tracepoint.name = (uintptr_t)name;
	attr.raw_tracepoint.prog_fd = prog;
	return syscall(__NR_bpf, BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr));
}

static long at_cgroup(int prog, uint32_t type)
{
	struct link_create attr = { .prog_fd = prog, .attach_type = type };
	int directory;
	long fd;

	mkdir("/cgroup", 0755);
	mount("c", "/cgroup", "cgroup2", 0, "");
	directory = open("/cgroup", O_RDONLY | O_DIRECTORY);
	if (directory < 0)
		return -1;
	attr.target = directory;
	fd = link_create(&attr);
	close(directory);
	return fd;
}

static long at_socket(int prog)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(7777), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (void *)&address, sizeof(address)) || setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog))) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static long attached(int prog, uint32_t how, uint32_t type, const char *target)
{
	struct link_create attr = { .prog_fd = prog, .attach_type = type };
	int self;
	long fd;

	switch (how) {
	case BY_RAW_TRACEPOINT: return raw_tracepoint(prog, target);
	case BY_TRACEPOINT: return at_tracepoint(prog, target);
	case BY_KPROBE: return at_function(prog, target, 0);
	case BY_KRETPROBE: return at_function(prog, target, 1);
	case BY_CLOCK: return at_clock(prog);
	case BY_CGROUP: return at_cgroup(prog, type);
	case BY_SOCKET: return at_socket(prog);
	case BY_ITERATOR: return link_create(&attr);
	case BY_DEVICE:
		attr.target = 1; /* lo */
		return link_create(&attr);
	case BY_NETNS:
		self = open("/proc/self/ns/net", O_RDONLY);
		attr.target = self;
		fd = link_create(&attr);
		close(self);
		return fd;
	case BY_NETFILTER:
		attr.netfilter.pf = 2; /* NFPROTO_IPV4 */
		attr.netfilter.hook = 1; /* NF_INET_LOCAL_IN */
		attr.netfilter.priority = -100;
		return link_create(&attr);
	case BY_KPROBE_MULTI:
	case BY_KRETPROBE_MULTI: {
		uint64_t names[1] = { (uintptr_t)target };
		attr.kprobe.count = 1;
		attr.kprobe.symbols = (uintptr_t)names;
		attr.kprobe.multi_flags = how == BY_KRETPROBE_MULTI;
		return link_create(&attr);
	}
	}
	errno = EOPNOTSUPP;
	return -1;
}

static void read_iterator(int link)
{
	union bpf_attr attr = {};
	char text[4096];
	int fd, rounds = 0;

	attr.iter_create.link_fd = link;
	fd = syscall(__NR_bpf, BPF_ITER_CREATE, &attr, sizeof(attr));
	while (fd >= 0 && rounds++ < 4096 && read(fd, text, sizeof(text)) > 0)
		;
	if (fd >= 0)
		close(fd);
}

/* A well-formed UDP packet, 64 bytes. */
static const unsigned char packet[64] = {
	2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
	0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0x3b, 0xb8, 10, 0, 0, 1, 10, 0, 0, 2,
	0x30, 0x39, 0, 53, 0, 30, 0, 0, 'r', 'e', 'q', 'u', 'e', 's', 't',
};

/* Runs it once by BPF_PROG_TEST_RUN: 0, or -1 with errno. */
static int test_run(int prog, int with_packet, uint32_t *result)
{
	unsigned char out[4096];
	union bpf_attr attr = {};

	attr.test.prog_fd = prog;
	if (with_packet) {
		attr.test.data_in = (uintptr_t)packet;
		attr.test.data_size_in = sizeof(packet);
		attr.test.data_out = (uintptr_t)out;
		attr.test.data_size_out = sizeof(out);
	}
	if (syscall(__NR_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)) < 0)
		return -1;
	*result = attr.test.retval;
	return 0;
}

static void traffic(int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(7777), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_usec = 20000 };
	int one = 1, in = socket(AF_INET, type | SOCK_NONBLOCK, 0), out = socket(AF_INET, type, 0), peer = -1;
	char text[64];

	setsockopt(in, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(in, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	setsockopt(out, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(out, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (bind(in, (void *)&address, sizeof(address))) {
		address.sin_port = htons(7778); /* where a program under test has the other */
		bind(in, (void *)&address, sizeof(address));
		address.sin_port = htons(7777);
	}
	if (type == SOCK_STREAM)
		listen(in, 1);
	if (!connect(out, (void *)&address, sizeof(address))) {
		if (type == SOCK_STREAM)
			peer = accept(in, NULL, NULL);
		if (write(out, packet, sizeof(packet)) > 0)
			recv(peer < 0 ? in : peer, text, sizeof(text), MSG_DONTWAIT);
	}
	getsockopt(out, SOL_SOCKET, SO_TYPE, &one, &(socklen_t){ sizeof(one) });
	if (peer >= 0)
		close(peer);
	close(out);
	close(in);
}

/* What any process does: files, memory, signals, processes, sockets. It may all fail, which is no concern here. */
static void work(void)
{
	char text[128], *memory;
	int fd, pipes[2], status, round;
	pid_t child;

	for (round = 0; round < 2; round++) {
		mkdir("/tmp", 0777);
		mkdir("/tmp/d", 0777);
		fd = open("/tmp/f", O_CREAT | O_RDWR | O_TRUNC, 0600);
		if (write(fd, "text", 4) == 4)
			lseek(fd, 0, SEEK_SET);
		if (read(fd, text, sizeof(text)) > 0)
			fsync(fd);
		fchmod(fd, 0644);
		close(fd);
		fd = open("/proc/self/status", O_RDONLY);
		if (read(fd, text, sizeof(text)) > 0)
			close(fd);
		fd = open("/proc/sys/kernel/ostype", O_RDONLY);
		if (read(fd, text, sizeof(text)) > 0)
			close(fd);
		link("/tmp/f", "/tmp/g");
		symlink("/tmp/f", "/tmp/s");
		rename("/tmp/g", "/tmp/h");
		unlink("/tmp/s");
		unlink("/tmp/h");
		unlink("/tmp/f");
		rmdir("/tmp/d");
		mknod("/tmp/null", S_IFCHR | 0600, 1 << 8 | 3);
		fd = open("/tmp/null", O_RDWR);
		if (fd >= 0)
			close(fd);
		unlink("/tmp/null");
		memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory != MAP_FAILED) {
			memory[0] = 1;
			mprotect(memory, 4096, PROT_READ);
			munmap(memory, 8192);
		}
		if (!pipe(pipes)) {
			if (write(pipes[1], "x", 1) == 1 && read(pipes[0], text, 1) == 1)
				close(pipes[0]);
			close(pipes[1]);
		}
		kill(getpid(), 0);
		child = fork();
		if (!child) {
			execl("/init", "init", "leave", NULL);
			_exit(0);
		}
		waitpid(child, &status, 0);
		traffic(SOCK_DGRAM);
		traffic(SOCK_STREAM);
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}

static void work_in_child(int spin)
{
	struct timespec now, end, pause = { .tv_nsec = 2000000 };
	int waited = 0, status;
	pid_t child = fork();

	if (!child) {
		work();
		clock_gettime(CLOCK_MONOTONIC, &end);
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while (spin && (now.tv_sec - end.tv_sec) * 1000 + (now.tv_nsec - end.tv_nsec) / 1000000 < 50);
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0 && waited++ < 2000)
		nanosleep(&pause, NULL);
	if (waited >= 2000) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
}

void guest_network(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

struct ran guest_run(int prog, uint32_t how, uint32_t type, const char *target)
{
	static int counted;
	struct bpf_prog_info info = {};
	union bpf_attr ask = {};
	struct ran ran = { .how = how, .runs = -1, .result = -1 };
	long link;

	if (!counted) {
		union bpf_attr attr = {};
		syscall(__NR_bpf, BPF_ENABLE_STATS, &attr, sizeof(attr));
		counted = 1;
	}
	if (how == BY_TEST_RUN || how == BY_TEST_RUN_BARE) {
		if (test_run(prog, how == BY_TEST_RUN, &ran.result))
			ran.error = errno;
	} else {
		link = attached(prog, how, type, target);
		if (link < 0) {
			ran.error = errno;
			return ran;
		}
		if (how == BY_ITERATOR)
			read_iterator(link);
		else
			work_in_child(how == BY_CLOCK);
		close(link);
	}
	ask.info.bpf_fd = prog;
	ask.info.info_len = sizeof(info);
	ask.info.info = (uintptr_t)&info;
	if (!syscall(__NR_bpf, BPF_OBJ_GET_INFO_BY_FD, &ask, sizeof(ask)))
		ran.runs = info.run_cnt;
	return ran;
}
