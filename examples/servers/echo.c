/* UDP echo, a blocking loop. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define PORT 7007

int main(void)
{
	struct sockaddr_in me = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = { htonl(INADDR_ANY) } };
	struct sockaddr_in from;
	socklen_t length;
	char message[1024];
	ssize_t got;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof(me)) != 0) {
		perror("echo");
		return 1;
	}
	while (1) {
		length = sizeof(from);
		got = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &length);
		if (got < 0)
			break;
		sendto(fd, message, got, 0, (struct sockaddr *)&from, length);
	}
	return 0;
}
