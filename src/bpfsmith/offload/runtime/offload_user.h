/*
 * The user half's part that is the same for every server: load the kernel half, share memory with it, take turns with it.
 *
 * Where bpf(2) or arenas are not to be had, a message says so, and the server goes on as it was.
 */
#pragma once

#include <errno.h>
#include <stddef.h>

/* A variable that the kernel half uses too. */
#define BS_SHARED __attribute__((section("bs_state")))

void bs_register(int state, void *variable);
void bs_ready(int fd); /* attaches the kernel half the first time: `fd` is the socket that requests come to */
void bs_enter(void);
void bs_leave(void);

/* The C library's functions of these names, with memory that the kernel half can reach. */
void *bs_malloc(size_t bytes);
void *bs_calloc(size_t count, size_t bytes);
void *bs_realloc(void *old, size_t bytes);
char *bs_strdup(const char *text);
char *bs_strndup(const char *text, size_t most);
void bs_free(void *memory);

/* A call that may wait: meanwhile the kernel half may use the shared variables. */
#define BS_WAITING(call)                                                                              \
	({                                                                                            \
		bs_leave();                                                                           \
		__typeof__(call) bs_result = (call);                                                  \
		int bs_errno = errno;                                                                 \
		bs_enter();                                                                           \
		errno = bs_errno;                                                                     \
		bs_result;                                                                            \
	})

/* The reply, after which nothing shared is touched until the next call that waits. */
#define BS_LAST(call) (bs_leave(), (call))

#define BS_RECEIVING(fd, call)                                                                        \
	({                                                                                            \
		bs_ready(fd);                                                                         \
		BS_WAITING(call);                                                                     \
	})
