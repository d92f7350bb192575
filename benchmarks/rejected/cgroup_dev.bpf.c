#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/dev")
int devices(struct bpf_cgroup_dev_ctx *ctx)
{
	short type = ctx->access_type & 0xFFFF;

	if (type != BPF_DEVCG_DEV_CHAR)
#ifdef FIXED
		return 0;
#else
		return -1; // <-
#endif
	return ctx->major == 1;
}
char _license[] SEC("license") = "GPL";
// cause: return-range
