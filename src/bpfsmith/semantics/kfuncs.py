"""Models of kernel functions that programs call by name (kfuncs), as data: the counterpart of `helpers`, in the same words."""

from __future__ import annotations

from errno import E2BIG, EINVAL

from bpfsmith.semantics.call import CallModel, HelperCall, maybe
from bpfsmith.semantics.memory import Pointer, Value
from bpfsmith.semantics.recorded import Recorded, signature
from bpfsmith.semantics.state import COOKIE, CTX, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

BPF_MAX_LOOPS = 1 << 23


def _recorded(name: str, words: str, result: int = 64) -> CallModel:
    return CallModel(name, len(signature(words)), Recorded(signature(words), result, above=0 < result < 64))


def _same(call: HelperCall) -> Value:
    """bpf_rdonly_cast: the pointer, which the verifier takes for another type from here on."""
    if isinstance(call.args[0], Pointer):
        raise Unmodelled("unmodelled-kfunc", f"{call.name} of memory of the program's own")
    return call.args[0]


def _kernel_context(call: HelperCall) -> Value:
    """bpf_cast_to_kern_ctx: the kernel's structure behind the context."""
    if call.state.memory(CTX).written() != set():
        raise Unmodelled("unmodelled-context", f"{call.name} of a context that was written")
    call.executor.sees_packet = True
    return call.t.app(call.name, 64)


# struct bpf_iter_num: int cur, int end (kernel/bpf/bpf_iter.c)
def _iter_num_new(call: HelperCall) -> Value:
    """bpf_iter_num_new(it, start, end): counts from start up to, and not including, end."""
    t = call.t
    start, end = (t.extract(call.number(index), 64, 31, 0) for index in (1, 2))
    backwards = t.slt(32, end, start)
    wide = t.sub(64, t.sext(end, 32, 64), t.sext(start, 32, 64))
    too_far = t.all_of(t.negate(backwards), t.slt(64, t.const(64, BPF_MAX_LOOPS), wide))
    refused, zero = t.any_of(backwards, too_far), t.const(32, 0)
    _keep(call, t.ite(32, refused, zero, t.sub(32, start, t.const(32, 1))), t.ite(32, refused, zero, end))
    return t.ite(64, backwards, t.const(64, -EINVAL), t.ite(64, too_far, t.const(64, -E2BIG), t.const(64, 0)))


def _iter_num_next(call: HelperCall) -> Value:
    """bpf_iter_num_next(it): the address of the current number, or NULL behind the last."""
    t, it = call.t, call.args[0]
    here, end = (call.executor.load(call.state, it, at, 4) for at in (0, 4))
    if not (isinstance(here, Term) and isinstance(end, Term) and isinstance(it, Pointer) and len(it.targets) == 1):
        raise Unmodelled("unmodelled-kfunc", f"{call.name} of something that is not one iterator")
    following = t.add(32, here, t.const(32, 1))
    more, zero = t.slt(32, following, end), t.const(32, 0)
    _keep(call, t.ite(32, more, following, zero), t.ite(32, more, end, zero))
    (place,) = it.targets
    assert place.region is not None
    return maybe(t, more, place.region, place.offset)


def _iter_num_destroy(call: HelperCall) -> None:
    _keep(call, call.t.const(32, 0), call.t.const(32, 0))


def _keep(call: HelperCall, cur: Term, end: Term) -> None:
    for at, value in ((0, cur), (4, end)):
        call.executor.store(call.state, call.args[0], at, 4, call.t.zext(value, 32, 64))


# Probes that run on the way in and on the way out (kernel/trace/bpf_trace.c: bpf_kprobe_multi_kfuncs). Up to 6.19 they take no
# argument, from 7.0 the context.
def session_is_return(t: Terms) -> Term:
    """Is this the run on the way out? (a truth)"""
    return t.app("bpf_session_is_return", 0)


def _session_is_return(call: HelperCall) -> Value:
    """A C bool fills the low byte of its register and leaves the others as they are."""
    t = call.t
    low = t.ite(8, session_is_return(t), t.const(8, 1), t.const(8, 0))
    return t.concat(t.app("bpf_session_is_return.above", 56), 56, low, 8)


def _session_cookie(call: HelperCall) -> Value:
    """The 8 bytes that both runs of one call share."""
    return call.executor.pointer(COOKIE)


KFUNCS: dict[str, CallModel] = {
    model.name: model
    for model in (
        CallModel("bpf_session_is_return", 0, _session_is_return),
        CallModel("bpf_session_cookie", 0, _session_cookie),
        CallModel("bpf_rdonly_cast", 2, _same),
        CallModel("bpf_cast_to_kern_ctx", 1, _kernel_context),
        CallModel("bpf_iter_num_new", 3, _iter_num_new),
        CallModel("bpf_iter_num_next", 1, _iter_num_next),
        CallModel("bpf_iter_num_destroy", 1, _iter_num_destroy),
        _recorded("bpf_rcu_read_lock", "", 0),
        _recorded("bpf_rcu_read_unlock", "", 0),
        _recorded("bpf_preempt_disable", "", 0),
        _recorded("bpf_preempt_enable", "", 0),
        _recorded("bpf_task_acquire", "u64"),
        _recorded("bpf_task_release", "u64", 0),
        _recorded("bpf_task_from_pid", "u32"),
        _recorded("bpf_task_get_cgroup1", "u64 u32"),
        _recorded("bpf_cgroup_acquire", "u64"),
        _recorded("bpf_cgroup_release", "u64", 0),
        _recorded("bpf_cgroup_from_id", "u64"),
        _recorded("bpf_cgroup_ancestor", "u64 u32"),
        _recorded("bpf_xdp_metadata_rx_timestamp", "ctx got=8", 32),
        _recorded("bpf_xdp_metadata_rx_hash", "ctx got=4 got=4", 32),
        _recorded("bpf_xdp_metadata_rx_vlan_tag", "ctx got=2 got=2", 32),
        _recorded("bpf_xdp_ct_lookup", "ctx in:3 u32 inout:5 u32"),
        _recorded("bpf_skb_ct_lookup", "ctx in:3 u32 inout:5 u32"),
        _recorded("bpf_ct_release", "u64", 0),
        _recorded("bpf_ct_change_timeout", "u64 u32", 32),
        _recorded("bpf_ct_change_status", "u64 u32", 32),
    )
}
