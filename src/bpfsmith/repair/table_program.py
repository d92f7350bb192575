"""Kinds of rejection, second part: results, helpers, kfuncs, references, locks, loops and whole programs."""

from __future__ import annotations

import re

from bpfsmith.repair import endings, locate, whole
from bpfsmith.repair.case import Case
from bpfsmith.repair.kind import Kind
from bpfsmith.repair.locate import access
from bpfsmith.repair.whole import function


def _names_relocation(case: Case, match: re.Match[str]) -> bool:
    """What libbpf and the kernel put where a CO-RE relocation failed: a call of this number."""
    return match["number"] in ("195896080", "-1085283951")


def _is_release(case: Case, match: re.Match[str]) -> bool:
    return case.trace.last is not None and "release" in case.trace.last.text


def _takes_string(case: Case, match: re.Match[str]) -> bool:
    """Is a value's address wanted because the call takes a constant string?"""
    last = case.trace.last
    return "expected=map_value" not in match[0] or bool(last and re.search(r"strncmp|printf|kallsyms", last.text))


def _huge(case: Case, match: re.Match[str]) -> bool:
    """Is there no upper bound: BPF_MAX_VAR_SIZ of kernel/bpf/verifier.c, or more; or, of a packet, a size that varies?"""
    if match.groupdict().get("bytes"):
        return locate.is_varying_size(case, match)
    return int(match.groupdict().get("most") or 1 << 29) >= 1 << 29


PROGRAM = (
    Kind(
        "verifier-return-range",
        (
            r"At (?:program exit|callback return|async callback(?: return)?|async return) the register R0 has"
            r" .*should have been in (?P<want>.*)",
            r"At program exit the register R0 has (?P<what>.*)",
            r"At (?:callback|async callback|async) return the register R0 has (?P<what>.*)",
            r"R0 has smin=.* should have been in (?P<want>.*)",
        ),
        "{who} may return something that {to} does not know",
        endings.return_value,
        "return one of the values of this program type on every path",
        "Some program types may return only certain numbers: 0 or 1 for cgroup hooks, 0 for fentry and iterators, 0 to"
        " -4095 for LSM;"
        " a callback 0 or 1.",
    ),
    Kind(
        "verifier-return-pointer",
        (
            r"R0 is not a known value \(.*\)",
            r"R0 not a scalar value",
            r"R0 leaks addr as return value",
            r"At .* R0 is not a known value",
        ),
        "the program returns a pointer",
        endings.return_value,
        "return a number",
        "The result of a program is a number.",
    ),
    Kind(
        "verifier-core-relocation",
        (r"invalid func unknown#(?P<number>195896080)",),
        "a CO-RE relocation has failed: the kernel's type has no {field}",
        whole.kernel_field,
        "test the field first: `if (bpf_core_field_exists(p->field))`, or define the other form as `struct name___old`",
        "The loader replaces an access to a field that the running kernel's type lacks by a call that cannot be. It is"
        " fine in code"
        " that is never reached.",
        when=_names_relocation,
    ),
    Kind(
        "verifier-helper-unknown",
        (r"invalid func (?P<what>\w+)#(?P<number>-?\d+)", r"invalid func (?P<number>\d+)"),
        "a helper is called that this kernel does not have",
        access("helper number {number}"),
        "use a helper that the oldest kernel has on which the program is to run, or test for it at load time",
        "Helpers are numbered, and a kernel refuses numbers that it does not know.",
    ),
    Kind(
        "verifier-helper-program-type",
        (
            r"unknown func (?P<what>\w+)#(?P<number>\d+)",
            r"program of this type cannot use helper (?P<what>\w+)#(?P<number>\d+)",
            r"func (?P<what>\w+)#(?P<number>\d+) not supported for program type",
            r"helper call is not allowed in probe",
        ),
        "programs in `{section}` may not call {what}",
        access("this helper is not for this program type"),
        "use what this type offers instead, or attach the program to a hook whose type may call {what}",
        "Each program type has its own set of helpers: bpf_redirect is for xdp and tc, bpf_probe_read_* for tracing and so on.",
    ),
    Kind(
        "verifier-gpl",
        (
            r"cannot call GPL-restricted function from non-GPL compatible program",
            r"cannot call kernel function from non-GPL compatible program",
            r"struct ops programs must have a GPL compatible license",
            r"must have a GPL compatible license",
        ),
        "a GPL-only function is called by a program under another license",
        whole.license_line,
        'char LICENSE[] SEC("license") = "GPL";  (or "Dual BSD/GPL", "Dual MIT/GPL")',
        "Some helpers (bpf_probe_read_*, bpf_trace_printk, bpf_perf_event_output, bpf_ktime_get_ns in old kernels) and"
        " all kfuncs are only for"
        " programs whose license is compatible with the GPL.",
    ),
    Kind(
        "verifier-timer-map",
        (r"(?P<what>timer|workqueue|task work) pointer in R(?P<reg>\d+) map_uid=\d+ doesn't match map pointer in R\d+",),
        "the {what} lies in a value of another map than the one named",
        access("this names another map"),
        "name the map that the value was looked up in",
        "A timer keeps the map whose value it lies in alive. The map given to bpf_timer_init() must be that very map: where it"
        " was reached through a map of maps, the inner one that the value came from.",
    ),
    Kind(
        "verifier-map-type",
        (
            r"cannot pass map_type (?P<number>\d+) into func (?P<what>\w+)#\d+",
            r"expected prog array map for tail call",
            r"kernel subsystem misconfigured verifier",
        ),
        "{call} does not work on maps of this type",
        whole.map_definition,
        "give `{map}` the type that {call} needs",
        "Helpers are bound to map types: tail calls need a PROG_ARRAY, perf output a PERF_EVENT_ARRAY, ring buffer"
        " helpers a RINGBUF,"
        " redirect_map a DEVMAP, CPUMAP or XSKMAP.",
    ),
    Kind(
        "verifier-map-needs-btf",
        (
            r"map '(?P<what>[^']*)' has to have BTF in order to use (?P<call>\w+)",
            r"map '(?P<what>[^']*)' has no valid (?P<call>\w+)",
            r"map '(?P<what>[^']*)' doesn't have 'struct (?P<call>\w+)'",
        ),
        "the value of map {what} holds no {call}",
        access("{call} needs it in the map's value"),
        "define the map with `__type(value, struct ..)` and put the field into that struct",
        "Locks, timers and kptrs are found by the map's BTF: it must be defined in .maps with a value type, and hold"
        " exactly one.",
    ),
    Kind(
        "verifier-helper-size-negative",
        (r"R(?P<reg>\d+) min value is negative, either use unsigned or 'var &= const'",),
        "the size given to a helper may be negative",
        locate.size_argument,
        "make `{name}` unsigned (`__u32`), and bound it: `if ({name} > sizeof(buffer)) {return}`",
        "A helper's size must be known to be at least 0. A signed variable needs both bounds; the result of a helper"
        " that may fail"
        " (bpf_probe_read_str) is negative on failure.",
    ),
    Kind(
        "verifier-helper-size-unbounded",
        (
            r"R(?P<reg>\d+) unbounded (?:memory access|size), use 'var &= const' or 'if \(var < const\)'",
            r"R(?P<reg>\d+) invalid zero-sized read: u64=\[0,(?P<most>\d+)\]",
            r"invalid access to packet, off=\d+ size=(?P<bytes>\d+), R(?P<buffer>\d+)\(",
        ),
        "nothing bounds the size given to a helper",
        locate.size_argument,
        "before the call: `if ({empty}{name} > sizeof(buffer)) {return}`, or `{name} &= SIZE - 1`",
        "The verifier must know the largest size that a helper may be given. The bound is lost when the compiler"
        " checks a copy of the"
        ' value, or its 32-bit half; `asm volatile("" : "+r"(n))` between check and use keeps them one.',
        when=_huge,
    ),
    Kind(
        "verifier-helper-size-zero",
        (
            r"R(?P<reg>\d+) invalid zero-sized read",
            r"invalid zero-sized read",
            r"invalid access to (?:map value|memory), \w+_size=\d+ off=-?\d+ size=0\b",
        ),
        "the size given to a helper may be 0",
        locate.size_argument,
        "before the call: `if ({name} == 0) {return}`",
        "This helper does not take a buffer of 0 bytes.",
    ),
    Kind(
        "verifier-helper-constant",
        (r"R(?P<reg>\d+) must be a known constant", r"R(?P<reg>\d+) is not a known constant", r"mem_size must be constant"),
        "an argument that must be a constant is not one",
        locate.size_argument,
        "pass a number that is known when the program is loaded: `sizeof(struct record)`",
        "bpf_ringbuf_reserve takes constant sizes only, so that the verifier knows the record's size: for variable"
        " ones there are"
        " bpf_ringbuf_output and bpf_ringbuf_reserve_dynptr.",
    ),
    Kind(
        "verifier-helper-string",
        (
            r"R(?P<reg>\d+) type=\w+ expected=map_value$",
            r"R(?P<reg>\d+) (?:does not|doesn't) point to a const(?:ant)? (?:string|str map)",
            r"string is not zero-terminated",
            r"R(?P<reg>\d+) is not a const string",
            r"Invalid format string",
            r"direct value access on string failed",
            r"arg#\d+ doesn't point to a const string",
            r"R(?P<reg>\d+) does not point to a readonly map'",
        ),
        "a format or string that must be a constant is not one",
        locate.size_argument,
        'declare it `static const char fmt[] = "..";`',
        "bpf_snprintf, bpf_strncmp and others take strings of .rodata only.",
        when=_takes_string,
    ),
    Kind(
        "verifier-reference-released",
        (
            r"R(?P<reg>\d+) must be referenced when passed to release function",
            r"reference has not been acquired before",
            r"release kernel function (?P<what>\w+) expects",
            r"arg#\d+ is (?:neither owning|an unacquired)",
            r"arg (?P<arg>\d+) is an unacquired reference",
            r"R(?P<reg>\d+) must have zero offset when passed to release func",
            r"dereference of modified (?:alloc|ringbuf)_mem ptr R(?P<reg>\d+) off=\d+ disallowed",
            r"cannot release unowned const bpf_dynptr",
            r"R(?P<reg>\d+) type=scalar expected=ringbuf_mem",
        ),
        "a reference is given back that is not held",
        endings.second_release,
        "release it once, and only on paths that took it; do not use it afterwards",
        "A release function takes a reference that this program took and still holds. After the release the pointer is void.",
    ),
    Kind(
        "verifier-kfunc-argument",
        (
            r"arg#(?P<arg>\d+) expected pointer to (?P<want>.*)",
            r"R(?P<reg>\d+) must be (?:referenced|a rcu pointer|trusted).*",
            r"(?:arg#|R)(?P<arg>\d+) pointer type (?P<what>.*) must point to",
            r"kernel function (?P<what>\w+) args#(?P<arg>\d+) expected pointer",
            r"R(?P<reg>\d+) is (?P<what>\w+) type expected=",
            r"arg#(?P<arg>\d+) .*(?:does not|doesn't) point",
        ),
        "a kernel function is given an argument of the wrong kind",
        access("the argument is not what it needs"),
        "pass the pointer that the kernel gave: a context, or an object that is held by an acquire function",
        "kfuncs take objects of the kernel's that are trusted: given by the hook, acquired, or read under bpf_rcu_read_lock.",
    ),
    Kind(
        "verifier-argument-type",
        (r"R(?P<reg>\d+) type=(?P<what>\S+) expected=(?P<want>.*)",),
        "a {what} is passed where {want} is needed",
        locate.wrong_argument,
        "pass the address of a local variable or of a map value: `&key`, not `key`; of what lies elsewhere, that of a copy",
        "The argument has another type than the helper takes: a number for a pointer, a pointer to a map's value for the map, a"
        " packet pointer where the helper takes none.",
    ),
    Kind(
        "verifier-sleepable",
        (
            r"helper call might sleep in a non-sleepable prog",
            r"sleepable helper (?P<what>\w+)#\d+ in non-sleepable prog",
            r"program must be sleepable to call sleepable kfunc (?P<what>\w+)",
            r"(?:kernel func|sleepable helper) (?P<what>\w+)(?:#\d+)? (?:is sleepable within|in) (?:rcu_read_lock|"
            r"non-preemptible|IRQ-disabled|lock)",
        ),
        "a call that may sleep where sleeping is not allowed",
        whole.sleeps,
        "put the program into a section with `.s` (`fentry.s`, `lsm.s`, `uprobe.s`), or use the form that does not sleep",
        "Copying from userspace and some kfuncs may wait for memory: only sleepable programs may, and not while they"
        " hold an RCU lock.",
    ),
    Kind(
        "verifier-sleepable-attach",
        (
            r"(?P<what>\w+) is not sleepable",
            r"Sleepable programs can only use",
            r"Sleepable program cannot attach",
            r"Syscall programs can only be sleepable",
            r"Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
        ),
        "a sleepable program where sleeping is not allowed",
        function("the section says that it may sleep"),
        "drop the `.s` of the section",
        "Sleepable programs attach only to functions that may sleep, and use only some map types.",
    ),
    Kind(
        "verifier-kfunc-unknown",
        (
            r"calling kernel function (?P<what>\w+) is not allowed",
            r"calling invalid kernel function",
            r"kernel btf_id \d+ is not a function",
            r"kfunc '(?P<what>\w+)' is referenced but wasn't resolved",
        ),
        "programs in `{section}` may not call the kernel function {what}",
        access("not for this program type"),
        "use a helper, or a program type for which the kernel registered {what}",
        "Kernel functions are offered to single program types; others exist in the kernel's BTF and cannot be called.",
    ),
    Kind(
        "verifier-reference-leak",
        (
            r"Unreleased reference id=(?P<id>\d+) alloc_insn=(?P<slot>\d+)",
            r"(?P<what>BPF_EXIT instruction|bpf_throw|tail_call|BPF_LD_\[ABS\|IND\]).* would lead to reference leak",
        ),
        "a reference is still held when the program ends",
        endings.reference,
        "on this path, before it ends: `{release}({name});`",
        "What was acquired must be released on every path: a socket, a ring buffer record, a task, an iterator.",
    ),
    Kind(
        "verifier-lock-missing-unlock",
        (
            r"(?P<what>bpf_spin_unlock|bpf_res_spin_unlock|bpf_rcu_read_unlock|bpf_preempt_enable|"
            r"bpf_local_irq_restore) is missing",
            r"(?P<what>BPF_EXIT instruction in main prog|tail_call) cannot be used inside (?P<lock>\S+) region",
            r"\d+ bpf_preempt_enable\w* is missing",
        ),
        "a lock is still held when the program ends",
        endings.lock,
        "give the lock back on this path too",
        "A program must unlock on every path before it exits or makes a tail call.",
    ),
    Kind(
        "verifier-lock-call",
        (
            r"function calls are not allowed while holding a lock",
            r"global function calls are not allowed while holding a lock",
            r"calls are not allowed .* while holding",
            r"BPF_LD_\[ABS\|IND\] cannot be used inside (?P<what>\S+) region",
        ),
        "a call while a lock is held",
        endings.lock,
        "make the call before the lock is taken, or after it was given back",
        "Between bpf_spin_lock and bpf_spin_unlock a program may only access memory: no helper and no function is called.",
    ),
    Kind(
        "verifier-lock-not-held",
        (
            r"held lock and object are not in the same allocation",
            r"bpf_spin_lock at off=(?P<off>-?\d+) must be held for (?P<what>\w+)",
        ),
        "a list or tree is changed without its lock",
        endings.lock,
        "take the bpf_spin_lock that stands in the same value (or the same object) as the list or tree, and change it inside",
        "A bpf_list_head or bpf_rb_root belongs to the bpf_spin_lock of the same map value or allocated object: the verifier"
        " wants that very lock held at each push, pop, add and remove.",
    ),
    Kind(
        "verifier-kernel-object-access",
        (
            r"(?P<what>bpf_\w+) cannot be accessed directly by load/store",
            r"direct access to (?P<what>bpf_\w+) is disallowed",
            r"kptr (?:access|cannot be accessed).*",
            r"off=\d+ kptr isn't referenced kptr",
            r"store to referenced kptr disallowed",
        ),
        "an object that the kernel looks after is read or written directly",
        access("this touches it"),
        "use the helpers made for it: bpf_spin_lock, bpf_timer_*, bpf_list_*, bpf_rbtree_*, bpf_kptr_xchg for kptrs",
        "Locks, timers, list heads, tree roots and referenced kptrs that lie in map values belong to the kernel. Copying a"
        " whole value that holds one counts too: copy field by field. A kptr is read and written whole.",
    ),
    Kind(
        "verifier-object-program-type",
        (
            r"tracing progs cannot use (?P<what>\S+) yet",
            r"socket filter progs cannot use (?P<what>\S+) yet",
            r"(?P<what>bpf_\w+) cannot be used in .* prog",
        ),
        "programs of this type may not use a map with {what}",
        whole.object_used,
        "use atomics (__sync_fetch_and_add) or a per-CPU map in this program, and keep {what} in maps of other programs",
        "A bpf_spin_lock, a timer or a list in a map's value rules the map out for program types that may run where it is not"
        " safe: kprobes, tracepoints and perf events, and for locks socket filters too.",
    ),
    Kind(
        "verifier-lock-order",
        (
            r"bpf_spin_unlock without taking a lock",
            r"bpf_spin_unlock of different lock",
            r"Locking two bpf_spin_locks are not allowed",
            r"unmatched (?:rcu read unlock|attempt to enable)",
            r"(?:nested|double) (?:rcu|lock)",
        ),
        "locks are not taken and given back in pairs",
        endings.lock,
        "take one lock at a time, and give back the one that was taken",
        "A program holds at most one bpf_spin_lock, and unlocks the one that it locked.",
    ),
    Kind(
        "verifier-dynptr",
        (
            r"Expected an initialized dynptr as (?:arg #|R)\d+",
            r"Dynptr has to be an uninitialized dynptr",
            r"cannot overwrite referenced dynptr",
            r"Expected a dynptr of type (?P<what>\w+)",
            r"cannot pass in dynptr at an offset",
            r"arg#\d+ expected pointer to stack or const struct bpf_dynptr",
            r"potential write to dynptr",
            r"(?:dereference of modified|negative offset) dynptr_ptr ptr",
            r"invalid mem access 'dynptr_ptr'",
            r"Unsupported reg type .* for bpf_dynptr",
        ),
        "a dynptr is used in a state that it is not in",
        access("this dynptr"),
        "initialise it once (bpf_dynptr_from_mem, bpf_ringbuf_reserve_dynptr), and pass its address as it is",
        "A dynptr lives on the stack, is initialised by one helper, and those that hold a ring buffer record are"
        " submitted or discarded"
        " exactly once, also when the reservation failed.",
    ),
    Kind(
        "verifier-iterator",
        (r"expected (?:an initialized|uninitialized) iter_(?P<what>\w+) as (?:arg #|R)\d+", r"expected valid iter pointer"),
        "an iterator is used in a state that it is not in",
        access("this iterator"),
        "call new, next and destroy in this order, on one variable: the bpf_for macros do",
        "Open-coded iterators are made once, asked until they give NULL, and destroyed.",
    ),
    Kind(
        "verifier-too-many-insns",
        (r"BPF program is too large\. Processed (?P<number>\d+) insn",),
        "the verifier gives up after {number} steps",
        whole.loop,
        "walk the loop with bpf_loop() or `bpf_for`, or make its body a global function (`__noinline`), so that it is"
        " checked once",
        "The verifier follows every path, and every round of a loop, up to a million insns in all. Loops with branches"
        " inside multiply."
        " `bpfsmith verify --profile` shows the lines that cost most; other -mcpu levels may need less.",
    ),
    Kind(
        "verifier-too-many-jumps",
        (r"The sequence of (?P<number>\d+) jumps is too complex",),
        "more than {number} branches are pending",
        whole.loop,
        "split the program with global functions, or turn the chain of branches into a table",
        "The verifier keeps a stack of branches that it has still to look at, and it is full.",
    ),
    Kind(
        "verifier-loop-infinite",
        (r"infinite loop detected at insn (?P<slot>\d+)",),
        "a loop comes back to where nothing has changed",
        whole.loop,
        "let something change in each round that ends the loop: a counter with a constant bound",
        "The verifier came a second time to the same insn in the same state: for it, the loop does not end.",
    ),
    Kind(
        "verifier-loop",
        (r"back-edge from insn (?P<slot>\d+) to (?P<to>\d+)",),
        "the program jumps back",
        whole.loop,
        "unroll the loop (`#pragma unroll`), or load it with CAP_BPF on a kernel since 5.3",
        "Loops are allowed since 5.3, for privileged programs whose loops end.",
        elsewhere="before 5.3, or without CAP_BPF",
    ),
    Kind(
        "verifier-unreachable",
        (r"unreachable insn (?P<slot>\d+)",),
        "insns that no path reaches",
        access("nothing leads here"),
        "remove them",
        "Code that no branch leads to is refused, as are functions that nothing calls.",
    ),
    Kind(
        "verifier-jump",
        (
            r"jump out of range from insn (?P<slot>\d+) to (?P<to>\d+)",
            r"jump into the middle of ldimm64",
            r"call to invalid destination",
            r"last insn is not an exit or jmp",
            r"invalid insn idx",
            r"subprog doesn't have|subprogram|fell through",
        ),
        "control leaves the program",
        access("here"),
        "end every function with a return, every jump at an insn of the same function",
        "Every path of a function must end with exit or a jump inside of it. In C a missing return, or an endless loop that the"
        " compiler assumes to be unreachable, does this.",
    ),
    Kind(
        "verifier-call-depth",
        (r"the call stack of (?P<number>\d+) frames is too deep", r"recursive call from \w+\(\) to \w+\(\)"),
        "calls are nested deeper than 8 functions, or a function calls itself",
        access("one call too many"),
        "inline some of the functions: `static __always_inline`; write a loop where a function calls itself",
        "At most 8 functions may be active at a time.",
    ),
    Kind(
        "verifier-tail-call-stack",
        (
            r"tail_calls are not allowed when call stack of previous frames is (?P<size>\d+) bytes",
            r"tail_call is (?:only|not) allowed in",
        ),
        "a tail call from a function with too much stack",
        whole.large_variable,
        "tail-call from the main function, or use less stack in the functions before it (256 bytes in all)",
        "A program that makes tail calls from subprograms has 256 bytes for the frames before it.",
    ),
    Kind(
        "verifier-global-function",
        (
            r"Caller passes invalid args into func#(?P<number>\d+)",
            r"[Aa]rg#(?P<arg>\d+) type (?P<what>.*) is not supported",
            r"arg#(?P<arg>\d+) reference type\('(?P<what>[^']*)'\) size cannot be determined",
            r"Global function (?P<what>\w+)\(\) (?:doesn't return scalar|.*not.*scalar)",
            r"reference type\('.*'\) size",
            r"func '?(?P<what>\w+)'? .* is not supported",
        ),
        "a global function with arguments that the verifier does not check on their own",
        whole.global_function,
        "make it `static` (it is then checked with each caller), or pass pointers to structs of known size and check"
        " them for NULL inside",
        "A function that is not static is verified once, for any arguments: it may take the context, numbers, and"
        " pointers to types of"
        " a known size, which may be NULL; it returns a number.",
    ),
    Kind(
        "verifier-atomic-target",
        (r"BPF_(?:ATOMIC|XADD) (?:stores|loads) (?:into|from) R(?P<reg>\d+) (?P<what>\w+) is not allowed",),
        "an atomic operation on memory that takes none: {what}",
        access("this memory takes no atomic operations"),
        "use an ordinary operation (`x += n`): no other CPU has this memory at the same time",
        "Atomic operations work on map values, and on memory of one's own. A packet and a context belong to one run, so an"
        " ordinary read and write do there.",
    ),
    Kind(
        "verifier-instruction",
        (
            r"unknown opcode (?P<what>[0-9a-f]+)",
            r"(?P<what>BPF_\w+(?:/\w+)?) uses reserved fields",
            r"invalid (?:BPF_ALU|BPF_JMP/JMP32|BPF_JMP) opcode",
            r"unknown insn class",
            r"invalid atomic operand size",
            r"invalid bpf_ld_imm64 insn",
            r"BPF_(?:ATOMIC|XADD|STX|LDX) (?:stores into|uses).*",
        ),
        "an instruction that this kernel does not know",
        access("this insn"),
        "compile for an older instruction set: -mcpu=v3 (kernels since 5.12), v2 (4.14) or v1",
        "Each -mcpu level adds instructions: v2 unsigned less-than jumps, v3 32-bit jumps and atomics with a result,"
        " v4 sign extension,"
        " signed division and long jumps (kernel 6.6). Indirect jumps (gotox) come from jump tables: -fno-jump-tables.",
    ),
    Kind(
        "verifier-attach-target",
        (
            r"attach_btf_id (?P<number>\d+) is not a",
            r"(?P<what>\w+)\(\) is not modifiable",
            r"Cannot (?:replace|extend|attach)",
            r"attach_btf_id is required",
            r"Tracing programs must provide btf_id",
            r"target program|Attach target",
            r"The address of function .* cannot be found",
            r"attach to (?:unsupported|invalid) member",
        ),
        "the program cannot be attached to what its section names",
        function("this target"),
        "name a function or hook that exists in this kernel and takes such programs: `bpftool btf dump file"
        " /sys/kernel/btf/vmlinux`",
        "fentry, fexit, fmod_ret, LSM and iterators are checked against the type of their target when the program is loaded.",
        elsewhere="where programs that attach to functions load",
    ),
    Kind(
        "verifier-func-info",
        (
            r"missing btf func_info",
            r"number of funcs in func_info doesn't match",
            r"func_info BTF section doesn't match",
            r"missing bpf_line_info",
            r"callback function not static",
            r"invalid type id \d+ in func info",
            r"callback function .*",
            r"line_info",
        ),
        "the type information does not fit the program",
        function("this program"),
        "compile all of it with -g and a clang that writes BTF, and let no tool strip or reorder sections",
        "Programs with callbacks, kfuncs or global functions need BTF records for each of their functions.",
    ),
)
