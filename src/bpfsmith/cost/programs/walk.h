/* What every loop here shares: how often it turns, how it is timed, and which keys it visits. */
#pragma once
#include <bpfsmith/helpers.h>

#define STEPS 512
#define ORDER 131072

char LICENSE[] SEC("license") = "GPL";

/* A program returns how many ns its loop took; what it computed goes here, so that nothing is optimised away. */
__u64 result;

#define TIMED(body)                                                  \
	({                                                           \
		__u64 sum = 0, started = bpf_ktime_get_ns();         \
		_Pragma("clang loop unroll(disable)")                \
		for (__u32 i = 0; i < STEPS; i++) {                  \
			body;                                        \
			barrier_var(sum);                            \
		}                                                    \
		__u64 took = bpf_ktime_get_ns() - started;           \
		result = sum;                                        \
		(int)took;                                           \
	})

#define barrier_var(var) __asm__ volatile("" : "+r"(var))
#define barrier() __asm__ volatile("" ::: "memory")
