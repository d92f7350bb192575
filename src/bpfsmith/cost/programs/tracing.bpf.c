/* Empty probes, and a program that fires a tracepoint which nobody else fires. */
#include "walk.h"

extern int bpf_modify_return_test_tp(int nonce) __attribute__((section(".ksyms")));

SEC("raw_tp") int fire(void *ctx) { return TIMED(sum += bpf_modify_return_test_tp(i)); }
SEC("raw_tp") int loop_floor(void *ctx) { return TIMED(sum += i); }

SEC("raw_tp/bpf_trigger_tp") int on_raw_tp(void *ctx) { return 0; }
SEC("tp_btf/bpf_trigger_tp") int on_tp_btf(void *ctx) { return 0; }
SEC("fentry/bpf_modify_return_test_tp") int on_fentry(void *ctx) { return 0; }
SEC("fexit/bpf_modify_return_test_tp") int on_fexit(void *ctx) { return 0; }
SEC("kprobe.multi/bpf_modify_return_test_tp") int on_kprobe(void *ctx) { return 0; }
SEC("uprobe.multi") int on_uprobe(void *ctx) { return 0; }
SEC("uretprobe.multi") int on_uretprobe(void *ctx) { return 0; }
SEC("uprobe.session") int on_uprobe_session(void *ctx) { return 0; }
SEC("uprobe.session") int on_uprobe_session_entry_only(void *ctx) { return 1; }
