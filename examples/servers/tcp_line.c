/* A line protocol over TCP: each line comes back in capitals. One connection at a time. */
#include <ctype.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(7070) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&self, sizeof self) || listen(listener, 8))
		return 1;
	for (;;) {
		int connection = accept(listener, NULL, NULL);
		char line[512];
		ssize_t n;

		while ((n = recv(connection, line, sizeof line, 0)) > 0) {
			for (ssize_t i = 0; i < n; i++)
				line[i] = toupper((unsigned char)line[i]);
			send(connection, line, n, 0);
		}
		close(connection);
	}
}
