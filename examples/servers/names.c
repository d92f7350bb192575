/* A DNS-like responder: one question of class IN and type A, a table of names. getaddrinfo, poll and a handler of its own. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct header {
	uint16_t id, flags, questions, answers, authorities, additional;
};

struct zone_entry {
	const char *name;
	uint32_t address;
	uint32_t ttl;
};

static const struct zone_entry zone[] = {
	{ "router.home.example", 0x0a000001, 3600 },
	{ "printer.home.example", 0x0a000009, 600 },
	{ "nas.home.example", 0x0a000010, 600 },
};

static struct {
	unsigned long queries, answered, unknown, malformed;
} counters;

/* The name in dots. Gives where the question goes on, 0 if it is malformed. */
static size_t read_name(const uint8_t *message, size_t length, size_t at, char *name, size_t room)
{
	size_t used = 0;

	while (at < length && message[at] != 0) {
		uint8_t label = message[at++];

		if (label > 63 || at + label > length || used + label + 2 > room)
			return 0;
		if (used)
			name[used++] = '.';
		for (uint8_t i = 0; i < label; i++)
			name[used++] = tolower(message[at + i]);
		at += label;
	}
	name[used] = '\0';
	return at < length ? at + 1 : 0;
}

static size_t respond(uint8_t *message, size_t length, size_t room)
{
	struct header *h = (struct header *)message;
	char name[128];
	size_t end;

	if (length < sizeof(*h) || (ntohs(h->flags) & 0x8000)) {
		counters.malformed++;
		return 0;
	}
	counters.queries++;
	end = ntohs(h->questions) == 1 ? read_name(message, length, sizeof(*h), name, sizeof(name)) : 0;
	if (end == 0 || end + 4 > length) {
		h->flags = htons(0x8001); /* format error */
		counters.malformed++;
		return length;
	}
	end += 4;
	for (unsigned i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (strcmp(zone[i].name, name) != 0)
			continue;
		if (end + 16 > room)
			return 0;
		uint16_t fixed[5] = { htons(0xc00c), htons(1), htons(1), 0, 0 };
		uint32_t ttl = htonl(zone[i].ttl), address = htonl(zone[i].address);

		memcpy(message + end, fixed, 6);
		memcpy(message + end + 6, &ttl, 4);
		message[end + 10] = 0;
		message[end + 11] = 4;
		memcpy(message + end + 12, &address, 4);
		h->flags = htons(0x8400);
		h->answers = htons(1);
		counters.answered++;
		return end + 16;
	}
	h->flags = htons(0x8403); /* no such name */
	counters.unknown++;
	return end;
}

static int open_socket(const char *port)
{
	struct addrinfo hints, *found, *each;
	int fd = -1;

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_INET;
	hints.ai_socktype = SOCK_DGRAM;
	hints.ai_flags = AI_PASSIVE;
	if (getaddrinfo(NULL, port, &hints, &found) != 0)
		return -1;
	for (each = found; each; each = each->ai_next) {
		fd = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
		if (fd >= 0 && bind(fd, each->ai_addr, each->ai_addrlen) == 0)
			break;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static void on_readable(int fd)
{
	struct sockaddr_storage client;
	socklen_t client_length = sizeof(client);
	uint8_t message[512];
	ssize_t length = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&client, &client_length);

	if (length > 0) {
		size_t reply = respond(message, (size_t)length, sizeof(message));

		if (reply > 0)
			sendto(fd, message, reply, 0, (struct sockaddr *)&client, client_length);
	}
}

int main(int argc, char **argv)
{
	struct pollfd wait;

	wait.fd = open_socket(argc > 1 ? argv[1] : "5300");
	wait.events = POLLIN;
	if (wait.fd < 0) {
		fprintf(stderr, "names: no socket\n");
		return EXIT_FAILURE;
	}
	for (;;) {
		if (poll(&wait, 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			return EXIT_FAILURE;
		}
		if (wait.revents & POLLIN)
			on_readable(wait.fd);
	}
}
