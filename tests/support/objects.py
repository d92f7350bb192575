"""Sources that several tests compile."""

from __future__ import annotations

RICH = """
struct value { struct bpf_spin_lock lock; u64 hits; };
struct { __uint(type, 1); __uint(max_entries, 16); __type(key, u32); __type(value, struct value); } flows SEC(".maps");
static struct { __uint(type, 2); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 8); __uint(map_flags, 1024); }
    table SEC(".maps");
u64 count = 7; u32 zeroed; const volatile u32 limit = 3; static volatile u32 hidden;
static struct bpf_spin_lock lock SEC(".data.guard"); static u64 guarded SEC(".data.guard") = 5;
static noinline u32 shared(u32 x) { static u32 calls; calls++; hidden++; return x * limit; }
noinline u32 outer(u32 x) { return shared(x) + 1; }
noinline u32 unused(u32 x) { return x; }
SEC("xdp") int first(struct xdp_md *c) {
    u32 k = 0; struct value *v = bpf_map_lookup_elem(&flows, &k); if (!v) return 1;
    bpf_spin_lock(&lock); guarded++; bpf_spin_unlock(&lock); zeroed++;
    return outer(c->ingress_ifindex + count);
}
SEC("xdp") int second(struct xdp_md *c) { u32 k = 0; return bpf_map_lookup_elem(&table, &k) ? 2 : shared(3); }
SEC("tc") int third(void *c) { return 0; }
"""
