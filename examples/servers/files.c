/* Answers PING and COUNT from memory, and FILE NAME with the start of a file: those are handed over. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static unsigned long count;

static int from_file(const char *name, char *out, int room)
{
	FILE *file = strchr(name, '/') ? NULL : fopen(name, "r");
	int n;

	if (!file)
		return snprintf(out, room, "no such file");
	n = fread(out, 1, room, file);
	fclose(file);
	return n;
}

int main(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(6900) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (bind(fd, (struct sockaddr *)&self, sizeof self))
		return 1;
	for (;;) {
		char request[256], reply[512];
		struct sockaddr_in client;
		socklen_t size = sizeof client;
		ssize_t n = recvfrom(fd, request, sizeof request - 1, 0, (struct sockaddr *)&client, &size);
		int m;

		if (n < 0)
			return 1;
		request[n] = '\0';
		if (!strcmp(request, "PING"))
			m = sprintf(reply, "PONG");
		else if (!strcmp(request, "COUNT"))
			m = sprintf(reply, "%lu", ++count);
		else if (!strncmp(request, "FILE ", 5))
			m = from_file(request + 5, reply, sizeof reply);
		else
			m = sprintf(reply, "what?");
		sendto(fd, reply, m, 0, (struct sockaddr *)&client, size);
	}
}
