/* Reads as much as userspace has asked for. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct config { __u32 len; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");
char text[64];
struct args { __u64 common; __u64 nr; long fd; const char *buf; };

SEC("tp/syscalls/sys_enter_write")
int on_write(struct args *ctx)
{
	__u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&config, &zero);
	if (!c)
		return 0;
	__u32 len = c->len; // <-
#ifdef FIXED
	if (len > sizeof(text))
		len = sizeof(text);
#endif
	bpf_probe_read_user(text, len, ctx->buf); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-unbounded
