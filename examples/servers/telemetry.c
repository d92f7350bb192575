/* A sink for counters: "name value" adds to a name, "?name" asks. Nothing is answered to what is only counted. select. */
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>

enum { NAMES = 64, NAME = 24 };

typedef struct {
	char name[NAME];
	uint64_t sum;
	uint32_t samples;
} series_t;

static series_t series[NAMES];
static uint32_t used;
uint64_t ignored;

static series_t *lookup(const char *name, size_t length, int create)
{
	uint32_t i;

	for (i = 0; i < used; ++i)
		if (strlen(series[i].name) == length && !strncmp(series[i].name, name, length))
			return &series[i];
	if (!create || used == NAMES || length >= NAME || length == 0)
		return NULL;
	memcpy(series[used].name, name, length);
	series[used].name[length] = 0;
	return &series[used++];
}

int main(void)
{
	int sock = socket(PF_INET, SOCK_DGRAM, IPPROTO_UDP);
	struct sockaddr_in self;

	memset(&self, 0, sizeof self);
	self.sin_family = AF_INET;
	self.sin_port = htons(8125);
	if (bind(sock, (struct sockaddr *)&self, sizeof self))
		exit(1);
	while (1) {
		fd_set ready;

		FD_ZERO(&ready);
		FD_SET(sock, &ready);
		if (select(sock + 1, &ready, NULL, NULL, NULL) <= 0)
			continue;
		if (FD_ISSET(sock, &ready)) {
			char line[256], out[64];
			struct sockaddr_in who;
			socklen_t size = sizeof who;
			ssize_t n = recvfrom(sock, line, sizeof line - 1, MSG_DONTWAIT, (struct sockaddr *)&who, &size);
			series_t *s;

			if (n < 0)
				continue;
			line[n] = '\0';
			if (line[0] == '?') {
				s = lookup(line + 1, strcspn(line + 1, "\r\n"), 0);
				if (s)
					n = snprintf(out, sizeof out, "%llu/%u\n", (unsigned long long)s->sum, s->samples);
				else
					n = snprintf(out, sizeof out, "none\n");
				sendto(sock, out, n, 0, (struct sockaddr *)&who, size);
				continue;
			}
			char *space = strchr(line, ' ');
			char *end = line;
			unsigned long value = space ? strtoul(space + 1, &end, 10) : 0;

			if (!space || end == space + 1 || !(s = lookup(line, space - line, 1))) {
				ignored++;
				continue;
			}
			s->sum += value;
			s->samples++;
		}
	}
}
