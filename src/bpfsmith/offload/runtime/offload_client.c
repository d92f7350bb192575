/*
 * A client for measurements: sends requests of a file over and over, and says how long replies took or how many came.
 *
 *   offload_client ADDRESS PORT FILE CPU latency COUNT
 *   offload_client ADDRESS PORT FILE CPU throughput MILLISECONDS WINDOW
 *   offload_client ADDRESS PORT FILE CPU flood MILLISECONDS RATE
 *
 * The file holds a 16-bit length (little endian) and so many bytes for each request. Answers one line of numbers: p50, p99 and mean
 * in ns, replies, lost; or CPU time of this process in ns, replies, lost; or requests that were sent in a flood of so many a
 * second, and the ns that took: their replies are dropped where they come in, and counted by the device.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
	uint16_t bytes;
	const uint8_t *at;
} requests[1 << 16];
static unsigned count;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void give_up(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void read_requests(const char *path)
{
	static uint8_t all[1 << 24];
	FILE *file = fopen(path, "rb");
	size_t size, at = 0;

	if (!file)
		give_up(path);
	size = fread(all, 1, sizeof all, file);
	fclose(file);
	while (at + 2 <= size && count < sizeof requests / sizeof *requests) {
		requests[count].bytes = all[at] | all[at + 1] << 8;
		requests[count].at = all + at + 2;
		at += 2 + requests[count++].bytes;
	}
	if (!count)
		give_up("no requests");
}

static void latency(int fd, unsigned rounds)
{
	uint64_t *took = calloc(rounds + 1, sizeof *took), sum = 0;
	unsigned i, got = 0, lost = 0;
	uint8_t reply[65536];

	for (i = 0; i < rounds && lost < 20; i++) {
		uint64_t start = now();

		if (send(fd, requests[i % count].at, requests[i % count].bytes, 0) < 0)
			give_up("send");
		if (recv(fd, reply, sizeof reply, 0) < 0) {
			lost++;
			continue;
		}
		took[got] = now() - start;
		sum += took[got++];
	}
	qsort(took, got, sizeof *took, by_size);
	printf("%llu %llu %llu %u %u\n", (unsigned long long)(got ? took[got / 2] : 0),
	       (unsigned long long)(got ? took[got * 99 / 100] : 0),
	       (unsigned long long)(got ? sum / got : 0), got, lost);
}

#define MOST 256
#define BURST 16

/* Sends and receives many at a time, so that the client costs little beside the server. */
static void throughput(int fd, unsigned milliseconds, unsigned window)
{
	static uint8_t replies[MOST][2048];
	struct mmsghdr out[MOST], in[MOST];
	struct iovec from[MOST], to[MOST];
	uint64_t start = now(), end = start + milliseconds * 1000000ull, got = 0, lost = 0;
	unsigned next = 0, i;

	if (window > MOST)
		window = MOST;
	memset(out, 0, sizeof out);
	memset(in, 0, sizeof in);
	for (i = 0; i < window; i++) {
		to[i] = (struct iovec){ replies[i], sizeof replies[i] };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &to[i], .msg_iovlen = 1 };
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &from[i], .msg_iovlen = 1 };
	}
	while (now() < end) {
		unsigned back = 0;
		int some;

		for (i = 0; i < window; i++, next++)
			from[i] = (struct iovec){ (void *)requests[next % count].at, requests[next % count].bytes };
		if (sendmmsg(fd, out, window, 0) < 0)
			give_up("sendmmsg");
		while (back < window) {
			some = recvmmsg(fd, in, window - back, MSG_WAITFORONE, NULL);
			if (some <= 0) {
				lost += window - back;
				break;
			}
			back += some;
		}
		got += back;
	}
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	printf("%llu %llu %llu\n", (unsigned long long)(used.tv_sec * 1000000000ull + used.tv_nsec), (unsigned long long)got,
	       (unsigned long long)lost);
}

static void flood(int fd, unsigned milliseconds, unsigned rate)
{
	struct sock_filter nothing = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog filter = { 1, &nothing };
	struct mmsghdr out[BURST];
	struct iovec from[BURST];
	uint64_t start, end, sent = 0;
	unsigned next = 0, i;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter))
		give_up("SO_ATTACH_FILTER");
	memset(out, 0, sizeof out);
	for (i = 0; i < BURST; i++)
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &from[i], .msg_iovlen = 1 };
	start = now();
	end = start + milliseconds * 1000000ull;
	while (now() < end) {
		int some;

		if (rate && (now() - start) * rate < sent * 1000000000ull)
			continue;
		for (i = 0; i < BURST; i++, next++)
			from[i] = (struct iovec){ (void *)requests[next % count].at, requests[next % count].bytes };
		some = sendmmsg(fd, out, BURST, 0);
		if (some > 0)
			sent += some;
	}
	printf("%llu %llu\n", (unsigned long long)sent, (unsigned long long)(now() - start));
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = { .sin_family = AF_INET };
	struct timeval patience = { .tv_usec = 100000 };
	cpu_set_t cpus;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc < 7)
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[4]), &cpus);
	sched_setaffinity(0, sizeof cpus, &cpus);
	inet_pton(AF_INET, argv[1], &server.sin_addr);
	server.sin_port = htons(atoi(argv[2]));
	read_requests(argv[3]);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&server, sizeof server))
		give_up("connect");
	if (!strcmp(argv[5], "latency"))
		latency(fd, atoi(argv[6]));
	else if (!strcmp(argv[5], "flood"))
		flood(fd, atoi(argv[6]), argc > 7 ? atoi(argv[7]) : 0);
	else
		throughput(fd, atoi(argv[6]), argc > 7 ? atoi(argv[7]) : 16);
	return 0;
}
