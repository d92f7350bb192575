#include <bpfsmith/helpers.h>

SEC("xdp") int compare(struct xdp_md *ctx)
{
	char text[8] = "abcdefg";
#ifdef FIXED
	static const char word[8] = "needle";
#else
	char word[8] = "needle";
	asm volatile("" :: "r"(word) : "memory");
#endif
	return bpf_strncmp(text, sizeof(text), word) ? XDP_PASS : XDP_DROP; // <-
}
char _license[] SEC("license") = "GPL";
