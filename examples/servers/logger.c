/* Writes every datagram to a file before it is acknowledged: there is nothing that could be done in the kernel. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(5140) }, client;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	FILE *log = fopen("datagrams.log", "a");
	char line[1024];
	socklen_t size;
	ssize_t n;

	if (!log || bind(fd, (struct sockaddr *)&self, sizeof self))
		return 1;
	for (;;) {
		size = sizeof client;
		n = recvfrom(fd, line, sizeof line, 0, (struct sockaddr *)&client, &size);
		fwrite(line, 1, n, log);
		fflush(log);
		sendto(fd, "ok", 2, 0, (struct sockaddr *)&client, size);
	}
}
