"""Helper models, as data: one entry says a helper's arity, what it does to the state, and what it returns.

To add a helper, add one row to the table at the end. A helper without an entry makes the verdict Unknown (unmodelled-helper),
never a guess. Return values are 64-bit terms or pointers; helpers whose result is not a function of the program's state number
their calls, so that two programs that make the same calls see the same results.
"""

from __future__ import annotations

from bpfsmith.isa import tables
from bpfsmith.semantics import map_helpers, output_helpers, packet_helpers
from bpfsmith.semantics.call import CallModel, Effect, HelperCall
from bpfsmith.semantics.memory import Value
from bpfsmith.semantics.recorded import TAIL_CALL, recorded, signature, steady


def _fresh(width: int) -> Effect:
    """The nth call of this helper gives the nth of an unknown sequence of `width`-bit numbers."""

    def effect(call: HelperCall) -> Value:
        number = call.state.next_call(call.name)
        return call.t.zext(call.t.app(call.name, width, number), width, 64)

    return effect


def _model(name: str, effect: Effect, arity: int) -> CallModel:
    return CallModel(name, arity, effect)


def _recorded(name: str, words: str, result: int = 64, packet: str = "") -> CallModel:
    return CallModel(name, len(signature(words)), recorded(words, result, packet))


def _pure(name: str, words: str, result: int = 64) -> CallModel:
    return CallModel(name, len(signature(words)), steady(words, result))


HELPERS: dict[int, CallModel] = {
    tables.HELPER_IDS[model.name]: model
    for model in (
        # maps
        _model("bpf_map_lookup_elem", map_helpers.lookup, 2),
        _model("bpf_map_update_elem", map_helpers.update, 4),
        _model("bpf_map_delete_elem", map_helpers.delete, 2),
        _model("bpf_task_storage_get", map_helpers.storage_get, 4),
        _model("bpf_task_storage_delete", map_helpers.storage_delete, 2),
        _model("bpf_sk_storage_get", map_helpers.storage_get, 4),
        _model("bpf_sk_storage_delete", map_helpers.storage_delete, 2),
        _model("bpf_inode_storage_get", map_helpers.storage_get, 4),
        _model("bpf_inode_storage_delete", map_helpers.storage_delete, 2),
        _model("bpf_cgrp_storage_get", map_helpers.storage_get, 4),
        _model("bpf_cgrp_storage_delete", map_helpers.storage_delete, 2),
        _model("bpf_get_local_storage", map_helpers.local_storage, 2),
        # draws: the nth call gives the nth of an unknown sequence
        _model("bpf_ktime_get_ns", _fresh(64), 0),
        _model("bpf_ktime_get_boot_ns", _fresh(64), 0),
        _model("bpf_ktime_get_coarse_ns", _fresh(64), 0),
        _model("bpf_ktime_get_tai_ns", _fresh(64), 0),
        _model("bpf_jiffies64", _fresh(64), 0),
        _model("bpf_get_prandom_u32", _fresh(32), 0),
        # who and where: the same for the whole run
        _pure("bpf_get_smp_processor_id", "", 32),
        _pure("bpf_get_numa_node_id", "", 32),
        _pure("bpf_get_current_pid_tgid", ""),
        _pure("bpf_get_current_uid_gid", ""),
        _pure("bpf_get_current_cgroup_id", ""),
        _pure("bpf_get_current_task", ""),
        _pure("bpf_get_current_task_btf", ""),
        _pure("bpf_get_current_ancestor_cgroup_id", "u32"),
        _pure("bpf_get_current_comm", "out:2 u32"),
        _pure("bpf_get_func_ip", "ctx"),
        _pure("bpf_get_attach_cookie", "ctx"),
        _pure("bpf_get_socket_cookie", "ctx"),
        _pure("bpf_get_socket_uid", "ctx", 32),
        _pure("bpf_get_netns_cookie", "ctx"),
        _pure("bpf_get_cgroup_classid", "ctx", 32),
        _pure("bpf_skb_cgroup_id", "ctx"),
        _pure("bpf_skb_ancestor_cgroup_id", "ctx u32"),
        _recorded("bpf_get_route_realm", "ctx"),
        _recorded("bpf_get_hash_recalc", "ctx!", packet="reads"),
        _pure("bpf_csum_diff", "in:2 u32 in:4 u32 u32"),
        # memory of the kernel and of processes
        _model("bpf_probe_read", output_helpers.ProbeRead(recorded("out:2 u32 u64")), 3),
        _model("bpf_probe_read_kernel", output_helpers.ProbeRead(recorded("out:2 u32 u64")), 3),
        _recorded("bpf_probe_read_user", "out:2 u32 u64"),
        _recorded("bpf_probe_read_str", "text:2 u32 u64"),
        _recorded("bpf_probe_read_kernel_str", "text:2 u32 u64"),
        _recorded("bpf_probe_read_user_str", "text:2 u32 u64"),
        _recorded("bpf_probe_write_user", "u64 in:3 u32"),
        _recorded("bpf_copy_from_user", "out:2 u32 u64"),
        _recorded("bpf_get_stackid", "ctx map u64"),
        _recorded("bpf_get_stack", "ctx out:3 u32 u64"),
        _recorded("bpf_perf_event_read_value", "map u64 out:4 u32"),
        _recorded("bpf_perf_prog_read_value", "ctx out:3 u32"),
        _recorded("bpf_send_signal", "u32"),
        _recorded("bpf_override_return", "ctx! u64"),
        _recorded("bpf_get_func_arg", "ctx u32 got=8"),
        _recorded("bpf_get_func_ret", "ctx got=8"),
        _recorded("bpf_get_func_arg_cnt", "ctx"),
        _recorded("bpf_get_task_stack", "u64 out:3 u32 u64"),
        _recorded("bpf_task_pt_regs", "u64"),
        _recorded("bpf_d_path", "u64 text:3 u32"),
        _recorded("bpf_get_ns_current_pid_tgid", "u64 u64 out:4 u32"),
        _recorded("bpf_copy_from_user_task", "out:2 u32 u64 u64 u64"),
        _recorded("bpf_perf_event_read", "map u64"),
        _recorded("bpf_read_branch_records", "ctx may:3 u32 u64"),
        _recorded("bpf_seq_write", "u64 in:3 u32"),
        _recorded("bpf_sysctl_get_name", "ctx text:3 u64 u64"),
        # output
        _model("bpf_trace_printk", output_helpers.printk, 2),
        _recorded("bpf_trace_vprintk", "in:2 u32 in:4 u32"),
        _recorded("bpf_perf_event_output", "ctx map u64 in:5 u64", packet="reads"),
        _recorded("bpf_ringbuf_output", "map in:3 u64 u64"),
        _recorded("bpf_ringbuf_query", "map u64"),
        _model("bpf_ringbuf_reserve", output_helpers.reserve, 3),
        _model("bpf_ringbuf_submit", output_helpers.submit, 2),
        _model("bpf_ringbuf_discard", output_helpers.discard, 2),
        # queues
        _model("bpf_map_push_elem", output_helpers.Queued(recorded("map in=value u64")), 3),
        _model("bpf_map_pop_elem", output_helpers.Queued(recorded("map may=value")), 2),
        _model("bpf_map_peek_elem", output_helpers.Queued(recorded("map may=value")), 2),
        # packets
        _model("bpf_xdp_adjust_head", packet_helpers.adjust_head, 2),
        _model("bpf_xdp_adjust_tail", packet_helpers.adjust_tail, 2),
        _model("bpf_xdp_adjust_meta", packet_helpers.adjust_meta, 2),
        _model("bpf_xdp_load_bytes", packet_helpers.xdp_load_bytes, 4),
        _model("bpf_xdp_store_bytes", packet_helpers.xdp_store_bytes, 4),
        _model("bpf_xdp_get_buff_len", packet_helpers.xdp_get_buff_len, 1),
        _model("bpf_skb_load_bytes", packet_helpers.skb_load_bytes, 4),
        _model("bpf_skb_store_bytes", packet_helpers.skb_store_bytes, 5),
        _model("bpf_skb_pull_data", packet_helpers.skb_pull_data, 2),
        _recorded("bpf_skb_load_bytes_relative", "ctx u32 out:4 u32 u32", packet="reads"),
        _recorded("bpf_l3_csum_replace", "ctx u32 u64 u64 u64", packet="renews"),
        _recorded("bpf_l4_csum_replace", "ctx u32 u64 u64 u64", packet="renews"),
        _recorded("bpf_csum_update", "ctx! u32"),
        _recorded("bpf_csum_level", "ctx! u64"),
        _recorded("bpf_set_hash_invalid", "ctx!", 0),
        _recorded("bpf_set_hash", "ctx! u32"),
        _recorded("bpf_skb_vlan_push", "ctx u32 u32", packet="renews"),
        _recorded("bpf_skb_vlan_pop", "ctx", packet="renews"),
        _recorded("bpf_skb_change_proto", "ctx u32 u64", packet="renews"),
        _recorded("bpf_skb_change_type", "ctx! u32"),
        _recorded("bpf_skb_change_tail", "ctx u32 u64", packet="renews"),
        _recorded("bpf_skb_change_head", "ctx u32 u64", packet="renews"),
        _recorded("bpf_skb_adjust_room", "ctx u32 u32 u64", packet="renews"),
        _recorded("bpf_skb_get_tunnel_key", "ctx out:3 u32 u64"),
        _recorded("bpf_skb_set_tunnel_key", "ctx! in:3 u32 u64"),
        _recorded("bpf_skb_get_tunnel_opt", "ctx out:3 u32"),
        _recorded("bpf_skb_set_tunnel_opt", "ctx! in:3 u32"),
        _recorded("bpf_skb_under_cgroup", "ctx map u32"),
        _recorded("bpf_current_task_under_cgroup", "map u32"),
        _recorded("bpf_check_mtu", "ctx u32 inout=4 u32 u64", packet="reads"),
        _recorded("bpf_fib_lookup", "ctx inout:3 u32 u32"),
        _recorded("bpf_lwt_push_encap", "ctx u32 in:4 u32", packet="renews"),
        _recorded("bpf_msg_push_data", "ctx u32 u32 u64", packet="renews"),
        _recorded("bpf_msg_pop_data", "ctx u32 u32 u64", packet="renews"),
        _recorded("bpf_load_hdr_opt", "ctx inout:3 u32 u64", packet="reads"),
        _recorded("bpf_store_hdr_opt", "ctx! in:3 u32 u64", packet="reads"),
        _recorded("bpf_reserve_hdr_opt", "ctx! u32 u64"),
        # sockets
        _recorded("bpf_sk_lookup_tcp", "ctx in:3 u32 u64 u64"),
        _recorded("bpf_sk_lookup_udp", "ctx in:3 u32 u64 u64"),
        _recorded("bpf_skc_lookup_tcp", "ctx in:3 u32 u64 u64"),
        _recorded("bpf_sk_release", "u64"),
        _recorded("bpf_sk_assign", "ctx! u64 u64"),
        _recorded("bpf_sk_fullsock", "u64"),
        _recorded("bpf_tcp_sock", "u64"),
        _recorded("bpf_get_listener_sock", "u64"),
        _recorded("bpf_sk_cgroup_id", "u64"),
        _recorded("bpf_sk_ancestor_cgroup_id", "u64 u32"),
        _recorded("bpf_tcp_check_syncookie", "u64 in:3 u32 in:5 u32"),
        _recorded("bpf_tcp_gen_syncookie", "u64 in:3 u32 in:5 u32"),
        _recorded("bpf_sk_select_reuseport", "ctx! map in=key u64"),
        _recorded("bpf_skc_to_tcp_sock", "u64"),
        _recorded("bpf_skc_to_tcp6_sock", "u64"),
        _recorded("bpf_skc_to_tcp_timewait_sock", "u64"),
        _recorded("bpf_skc_to_tcp_request_sock", "u64"),
        _recorded("bpf_skc_to_udp6_sock", "u64"),
        _recorded("bpf_skc_to_unix_sock", "u64"),
        _recorded("bpf_sock_from_file", "u64"),
        # where a packet goes
        _recorded(TAIL_CALL, "ctx map u32", 32, packet="reads"),  # of a call that comes back: see Executor
        _recorded("bpf_redirect", "u32 u64"),
        _recorded("bpf_redirect_peer", "u32 u64"),
        _recorded("bpf_redirect_neigh", "u32 in:3 u32 u64"),
        _recorded("bpf_redirect_map", "map u64 u64"),
        _recorded("bpf_clone_redirect", "ctx u32 u64", packet="renews"),
        _recorded("bpf_sk_redirect_map", "ctx map u32 u64"),
        _recorded("bpf_sk_redirect_hash", "ctx map in=key u64"),
        _recorded("bpf_msg_redirect_map", "ctx map u32 u64"),
        _recorded("bpf_msg_redirect_hash", "ctx map in=key u64"),
        _recorded("bpf_msg_apply_bytes", "ctx! u32"),
        _recorded("bpf_msg_cork_bytes", "ctx! u32"),
        _recorded("bpf_msg_pull_data", "ctx u32 u32 u64", packet="renews"),
        _recorded("bpf_sock_map_update", "ctx map in=key u64"),
        _recorded("bpf_sock_hash_update", "ctx map in=key u64"),
        _recorded("bpf_setsockopt", "ctx! u32 u32 in:5 u32"),
        _recorded("bpf_getsockopt", "ctx u32 u32 out:5 u32"),
        _recorded("bpf_sock_ops_cb_flags_set", "ctx! u32"),
        _recorded("bpf_bind", "ctx! in:3 u32"),
        # locks
        _model("bpf_spin_lock", map_helpers.lock, 1),
        _model("bpf_spin_unlock", map_helpers.unlock, 1),
    )
}
