// What old samples take from headers that are not installed: names of integers and a few constants.
#pragma once
#include <linux/types.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64; typedef __s32 s32; typedef __s64 s64; typedef __s8 s8; typedef __s16 s16;
#define AF_INET 2
#define AF_INET6 10
#define SOL_TCP 6
#define SOL_SOCKET 1
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define TASK_COMM_LEN 16
#define PERF_MAX_STACK_DEPTH 127
