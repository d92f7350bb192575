/* What uapi headers such as linux/if.h ask the C library for; eBPF has none. */
#pragma once

#include <linux/socket.h>

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

struct sockaddr {
	unsigned short sa_family;
	char sa_data[14];
};
