#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/icmp.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("xdp")
int drop_ping(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data;
    void *data_end = (void *)(long)ctx->data_end;

#ifdef FIXED
    if (data + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct icmphdr) > data_end)
#else
    if (data + sizeof(struct ethhdr) + sizeof(struct iphdr) > data_end) // <-
#endif
        return XDP_PASS;

    struct ethhdr *eth = data;
    struct iphdr *ip = data + sizeof(*eth);
    if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_ICMP)
        return XDP_PASS;
    struct icmphdr *icmp = data + sizeof(*eth) + sizeof(*ip);
    if (icmp->type == ICMP_ECHO) // <-
        return XDP_DROP;
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
