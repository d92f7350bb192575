/*
 * What both halves of a split server know: the start of the memory that they share.
 *
 * The memory is a BPF arena. The user half maps it over its own variables, so that they keep their addresses; the kernel half
 * reaches them by the same addresses.
 */
#pragma once

#define BS_ADDRESSES 16

struct bs_config {
	/* Even: nobody is changing the shared state. Odd: someone is. Each change makes it larger by two. */
	unsigned long long version;
	unsigned long long base, size; /* of the shared memory, in the user half's addresses */
	unsigned int port_be;
	unsigned int address_count;
	unsigned int addresses_be[BS_ADDRESSES]; /* the server's own, to which the kernel half answers */
	unsigned int paused; /* the user half may turn the kernel half off without detaching it */
	unsigned int unused[3];
	unsigned long long state[BS_STATES]; /* addresses of the variables that both halves use */
};

/* What snprintf has written so far: where to, how much fits with the 0 at the end, how much there would be. */
struct bs_print {
	unsigned long long to, room, bytes;
};

/* What became of requests, counted on each CPU. */
struct bs_counters {
	unsigned long long answered, consumed, handed_over, conflicts;
	unsigned long long reasons[BS_REASONS];
};
