#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOTS 1024
#define KEY 32
#define VALUE 64

struct entry {
	char key[KEY];
	char value[VALUE];
	int used;
};

static struct entry table[SLOTS];
static unsigned long hits, misses;

static unsigned hash(const char *key, size_t n)
{
	unsigned h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)key[i]) * 16777619u;
	return h;
}

static struct entry *find(const char *key, size_t n)
{
	unsigned at = hash(key, n) % SLOTS;
	for (int i = 0; i < 8; i++) {
		struct entry *e = &table[(at + i) % SLOTS];
		if (e->used && strlen(e->key) == n && memcmp(e->key, key, n) == 0)
			return e;
	}
	return NULL;
}

static int set(const char *key, size_t n, const char *value, size_t m)
{
	unsigned at = hash(key, n) % SLOTS;
	struct entry *e = find(key, n);

	for (int i = 0; !e && i < 8; i++)
		if (!table[(at + i) % SLOTS].used)
			e = &table[(at + i) % SLOTS];
	if (!e || n >= KEY || m >= VALUE)
		return -1;
	memset(e, 0, sizeof *e);
	memcpy(e->key, key, n);
	memcpy(e->value, value, m);
	e->used = 1;
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {0}, peer;
	char buf[512], reply[512];
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	addr.sin_family = AF_INET;
	addr.sin_port = htons(argc > 1 ? atoi(argv[1]) : 7000);
	addr.sin_addr.s_addr = htonl(INADDR_ANY);
	if (bind(s, (struct sockaddr *)&addr, sizeof addr) < 0) {
		perror("bind");
		return 1;
	}
	for (;;) {
		socklen_t plen = sizeof peer;
		ssize_t n = recvfrom(s, buf, sizeof buf - 1, 0, (struct sockaddr *)&peer, &plen);

		if (n <= 0)
			continue;
		buf[n] = 0;
		if (strncmp(buf, "GET ", 4) == 0) {
			struct entry *e = find(buf + 4, n - 4);
			int m;
			if (e) {
				hits++;
				m = snprintf(reply, sizeof reply, "VALUE %s", e->value);
			} else {
				misses++;
				m = snprintf(reply, sizeof reply, "MISS");
			}
			sendto(s, reply, m, 0, (struct sockaddr *)&peer, plen);
		} else if (strncmp(buf, "SET ", 4) == 0) {
			char *space = strchr(buf + 4, ' ');
			if (!space) {
				sendto(s, "ERROR", 5, 0, (struct sockaddr *)&peer, plen);
				continue;
			}
			int r = set(buf + 4, space - buf - 4, space + 1, buf + n - space - 1);
			printf("set %s\n", buf);
			sendto(s, r ? "FULL" : "OK", r ? 4 : 2, 0, (struct sockaddr *)&peer, plen);
		} else if (strncmp(buf, "STAT", 4) == 0) {
			int m = snprintf(reply, sizeof reply, "hits %lu misses %lu", hits, misses);
			sendto(s, reply, m, 0, (struct sockaddr *)&peer, plen);
		}
	}
}
