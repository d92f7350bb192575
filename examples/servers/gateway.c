/* A gateway that lets each source have so many requests: a token bucket for each, refilled by whoever runs it ("R"). The rest is
 * dropped. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { SOURCES = 128, BURST = 50 };

struct bucket {
	uint32_t address;
	uint32_t tokens;
};

static struct bucket buckets[SOURCES];
static uint64_t passed, dropped;

static bool admit(uint32_t address)
{
	for (unsigned i = 0; i < SOURCES; i++) {
		struct bucket *b = &buckets[(address + i) % SOURCES];

		if (b->address == 0) {
			b->address = address;
			b->tokens = BURST;
		}
		if (b->address != address)
			continue;
		if (b->tokens == 0)
			return false;
		b->tokens--;
		return true;
	}
	return false;
}

int main(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(4242) }, from;
	socklen_t from_length = sizeof from;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned char request[600];
	ssize_t n;

	if (bind(fd, (struct sockaddr *)&self, sizeof self) < 0)
		return 1;
	while ((n = recvfrom(fd, request, sizeof request, 0, (struct sockaddr *)&from, &from_length)) >= 0) {
		if (n == 0)
			continue;
		if (request[0] == 'R') {
			memset(buckets, 0, sizeof buckets);
			continue;
		}
		if (!admit(ntohl(from.sin_addr.s_addr))) {
			dropped++;
			continue;
		}
		passed++;
		for (ssize_t i = 0; i < n / 2; i++) {
			unsigned char swapped = request[i];

			request[i] = request[n - 1 - i];
			request[n - 1 - i] = swapped;
		}
		sendto(fd, request, n, 0, (struct sockaddr *)&from, from_length);
	}
	return 0;
}
