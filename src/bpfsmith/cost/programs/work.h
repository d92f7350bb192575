/* The same work as eBPF and as a native program: what the two cost is compared. */
#pragma once

#define WORK_BYTES 1024

/* FNV-1a, a byte at a time: one long chain of multiplications. */
static inline __attribute__((always_inline)) unsigned int work_hash(const unsigned char *data, unsigned int bytes)
{
	unsigned int h = 0x811c9dc5u;
#pragma clang loop unroll(disable) vectorize(disable)
	for (unsigned int i = 0; i < bytes; i++) {
		h ^= data[i & (WORK_BYTES - 1)];
		h *= 0x01000193u;
	}
	return h;
}

/* The sum of 16-bit words: what a compiler likes to vectorise. */
static inline __attribute__((always_inline)) unsigned int work_sum(const unsigned char *data, unsigned int bytes)
{
	const unsigned short *words = (const unsigned short *)data;
	unsigned int sum = 0;
#ifdef __bpf__
#pragma clang loop unroll(disable)
#endif
	for (unsigned int i = 0; i < bytes / 2; i++)
		sum += words[i & (WORK_BYTES / 2 - 1)];
	return sum;
}

/* How many bytes exceed a threshold: a branch, or no branch, for each. */
static inline __attribute__((always_inline)) unsigned int work_count(const unsigned char *data, unsigned int bytes)
{
	unsigned int found = 0;
#pragma clang loop unroll(disable) vectorize(disable)
	for (unsigned int i = 0; i < bytes; i++)
		if (data[i & (WORK_BYTES - 1)] > 127)
			found++;
	return found;
}
