#include <bpfsmith/helpers.h>

static __attribute__((noinline)) int f9(int n)
{
	volatile int more = n;
	return more + 1;
}

static __attribute__((noinline)) int f8(int n)
{
	volatile int more = n;
	return f9(more + 1) + 1;
}

static __attribute__((noinline)) int f7(int n)
{
	volatile int more = n;
	return f8(more + 1) + 1; // <-
}

static __attribute__((noinline)) int f6(int n)
{
	volatile int more = n;
	return f7(more + 1) + 1;
}

static __attribute__((noinline)) int f5(int n)
{
	volatile int more = n;
	return f6(more + 1) + 1;
}

static __attribute__((noinline)) int f4(int n)
{
	volatile int more = n;
	return f5(more + 1) + 1;
}

static __attribute__((noinline)) int f3(int n)
{
	volatile int more = n;
	return f4(more + 1) + 1;
}

static __attribute__((noinline)) int f2(int n)
{
	volatile int more = n;
	return f3(more + 1) + 1;
}

static __attribute__((noinline)) int f1(int n)
{
	volatile int more = n;
	return f2(more + 1) + 1;
}

SEC("xdp") int start(struct xdp_md *ctx)
{
#ifdef FIXED
	return f4(ctx->rx_queue_index);
#else
	return f1(ctx->rx_queue_index);
#endif
}
char _license[] SEC("license") = "GPL";
