#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct data_t {
    __u32 pid;
    __u32 uid;
    char comm[16];
    char path[512]; // <-
};

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} output SEC(".maps");

#ifdef FIXED
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct data_t);
} heap SEC(".maps");
#endif

struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tracepoint/syscalls/sys_enter_execve")
int hello(struct sys_enter_args *ctx) {
#ifdef FIXED
    __u32 zero = 0;
    struct data_t *d = bpf_map_lookup_elem(&heap, &zero);
    if (!d)
        return 0;
#define data (*d)
#else
    struct data_t data = {}; // <-
#endif
    data.pid = bpf_get_current_pid_tgid() >> 32;
    data.uid = bpf_get_current_uid_gid() & 0xFFFFFFFF;
    bpf_get_current_comm(&data.comm, sizeof(data.comm));
    bpf_probe_read_user_str(&data.path, sizeof(data.path), (void *)ctx->args[0]);
    bpf_perf_event_output(ctx, &output, BPF_F_CURRENT_CPU, &data, sizeof(data));
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
// cause: stack-too-large, stack-out-of-bounds
