"""Kinds of rejection, first part: packets, NULL, maps, memory, context, stack and registers. The order decides."""

from __future__ import annotations

import re

from bpfsmith.repair import locate, packets, whole
from bpfsmith.repair.case import Case
from bpfsmith.repair.kind import Kind
from bpfsmith.repair.locate import access

_PACKET = (
    r"invalid access to packet, off=(?P<off>-?\d+) size=(?P<size>\d+), "
    r"R(?P<reg>\d+)\(id=(?P<id>\d+),off=-?\d+,r=(?P<range>\d+)\)"
)
_SCALAR_ARGUMENT = r"R(?P<reg>\d+) type=(?:scalar|inv) expected=(?!ringbuf_mem)"
_SCALAR = r"R(?P<reg>\d+) invalid mem access '(?:scalar|inv)'"


def _in_call(case: Case, match: re.Match[str]) -> bool:
    """Was the verifier looking at a call, so that a buffer was handed to it?"""
    return case.trace.last is not None and case.trace.last.text.startswith("call ")


def _unranged(case: Case, match: re.Match[str]) -> bool:
    return match["range"] == "0" and not locate.is_varying_size(case, match)


def _ranged(case: Case, match: re.Match[str]) -> bool:
    return not locate.is_varying_size(case, match)


def _variable(case: Case, match: re.Match[str]) -> bool:
    return match["id"] != "0"


_FARTHEST = 0xFFFF
"""MAX_PACKET_OFF of kernel/bpf/verifier.c: a comparison with data_end proves nothing of a pointer that may lie beyond."""


def _too_far(case: Case, match: re.Match[str]) -> bool:
    """Is there a check of this very pointer, which proves nothing because its offset may be too large?"""
    if locate.is_varying_size(case, match):
        return False
    if int(match["off"]) + int(match["size"]) > _FARTHEST:
        return True
    last = case.trace.last
    register = last.before.get(f"R{match['reg']}") if last else None
    if register is None or match["id"] == "0" or match["range"] != "0":
        return False
    compared = any(
        held.facts.get("id") == match["id"] and held.kind == "pkt"
        for visit in case.visits
        if visit.text.startswith("if ") and any(item.kind == "pkt_end" for item in visit.before.values())
        for name, held in visit.before.items()
        if re.search(rf"\br{name[1:]}\b", visit.text)
    )
    return compared and (register.largest is None or register.largest + int(match["off"]) > _FARTHEST)


def _into_packet(case: Case, match: re.Match[str]) -> bool:
    """Is it a packet pointer that the number went into?"""
    last = case.trace.last
    register = last.before.get(f"R{match['reg']}") if last and match.groupdict().get("reg") else None
    return "pkt" in match[0] or (register is not None and register.kind == "pkt")


def _was_packet(case: Case, match: re.Match[str]) -> bool:
    if "access to packet" in match[0]:
        return packets.stale_end(case) is not None
    return packets.invalidator(case, f"R{match['reg']}") is not None


def _was_released(case: Case, match: re.Match[str]) -> bool:
    return locate.releaser(case, f"R{match['reg']}") is not None


def _is_zero(case: Case, match: re.Match[str]) -> bool:
    last = case.trace.last
    register = last.before.get(f"R{match['reg']}") if last else None
    return register is not None and register.value == 0


def _at_variable(case: Case, match: re.Match[str]) -> bool:
    """Was a number added to the context pointer that is no constant of the source? One path may know its value."""
    return "modified" not in match[0] or locate.is_indexed(case, f"R{match['reg']}")


_NO_ADDITION = re.compile(r"^[rw]\d+ (?:&|\||\^|<<|>>|s>>|\*|/|%)=")


def _is_operator(case: Case, match: re.Match[str]) -> bool:
    """Is the refused insn one that no pointer takes at all? Where additions are refused, too, the words are the same."""
    if not match[0].startswith("math between") and "32-bit" not in match[0]:
        return True
    return case.trace.last is not None and _NO_ADDITION.match(case.trace.last.text) is not None


def _is_32_bit(case: Case, match: re.Match[str]) -> bool:
    return "32-bit" not in match[0] or not _is_operator(case, match)


def _stores(case: Case, match: re.Match[str]) -> bool:
    return case.trace.last is not None and case.trace.last.text.startswith(("*(", "lock "))


def _fixed(case: Case, match: re.Match[str]) -> bool:
    """Does the pointer of the refused access have no variable part, nor had one that was a constant on this path?"""
    if match["size"] == "0":
        return False
    last = case.trace.last
    base = re.search(r"\(r(\d+) ", last.text) if last else None
    if base is None and _in_call(case, match):
        base = re.search(r"\bR(\d+) (?:min|max) value is outside", " ".join(case.words))
    if base is not None and locate.is_indexed(case, f"R{base[1]}"):
        return False
    register = last.before.get(f"R{base[1]}") if last and base else None
    return register is not None and register.kind == "map_value" and not {"umax", "umax_value", "var_off"} & set(register.facts)


def _not_empty(case: Case, match: re.Match[str]) -> bool:
    """Is it the place that is wrong, and not that nothing was to be read?"""
    return match["size"] != "0"


def _over_512(case: Case, match: re.Match[str]) -> bool:
    """Is more stack wanted than there is?"""
    return int(match["size"]) > 512 or "combined" in match[0]


def _inside_stack(case: Case, match: re.Match[str]) -> bool:
    """Is it the contents that are missing, and not the place?"""
    off, size = match.groupdict().get("off"), match.groupdict().get("size")
    return off is None or size is None or (int(off) >= -512 and int(off) + int(size) <= 0)


MEMORY = (
    Kind(
        "verifier-packet-stale-pointer",
        (_SCALAR, _SCALAR_ARGUMENT, _PACKET),
        "a packet pointer is used after a call that may move the packet",
        packets.stale_packet,
        "after {call}, read ctx->data and ctx->data_end again and repeat the bounds check",
        "Helpers that change a packet (adjust_head, pull_data, store_bytes, change_*, l3/l4_csum_replace) may move it:"
        " the verifier"
        " forgets every pointer into it at the call. Pointers and checks must be made anew afterwards.",
        when=_was_packet,
    ),
    Kind(
        "verifier-packet-offset-far",
        (_PACKET,),
        "a packet is read at an offset that may be too large for any check to count",
        packets.packet_far,
        "bound the offset before it is added, so that the sum stays below 65536: `if ({index} > 1500) return ..;`, or a mask",
        "A comparison with `data_end` proves bytes of a pointer only while that lies at most 65535 bytes from the start of the"
        " packet. A length of 16 bits, taken from the packet, is already too much when a constant has been added before: the"
        " check is there, and the verifier learns nothing from it.",
        when=_too_far,
    ),
    Kind(
        "verifier-packet-check-elsewhere",
        (_PACKET,),
        "a packet read at a variable offset that no check covers",
        packets.packet,
        "after the variable offset is added, compare again: `if ((void *)({name} + 1) > data_end) return ..;`",
        "A comparison with `data_end` proves bytes behind the pointer that was compared, and behind copies of it with"
        " a constant"
        " added. Adding a variable makes a new pointer of which nothing is proved. The check has to be made with the"
        " pointer that"
        " is read, after its last variable addition.",
        when=lambda case, match: _variable(case, match) and _unranged(case, match),
    ),
    Kind(
        "verifier-packet-unchecked",
        (_PACKET,),
        "a packet read that no comparison with data_end covers",
        packets.packet,
        "before the read: `if ((void *){name} + {need} > data_end) return ..;`",
        "Packet memory may be read only after the program has compared a pointer into it with `data_end`, and only up"
        " to the bytes"
        " that the comparison proved. On the path shown there was none for this pointer.",
        when=_unranged,
    ),
    Kind(
        "verifier-packet-check-too-small",
        (_PACKET,),
        "the check against data_end proves {have} bytes, and {need} are read",
        packets.packet,
        "let the check cover the whole access: compare `data + {need}` with `data_end`",
        "The comparison with `data_end` proves fewer bytes than the access needs: often the size of another header, a pointer"
        " instead of what it points to (`sizeof(eth)`), or a header behind the one that was checked.",
        when=_ranged,
    ),
    Kind(
        "verifier-packet-offset-unbounded",
        (
            r"math between pkt pointer and register with unbounded min value",
            r"value -?\d+ makes pkt pointer be out of bounds",
            r"R(?P<reg>\d+) min value is negative, either use unsigned index",
        ),
        "an offset that may be negative or huge is added to a packet pointer",
        packets.packet_offset,
        "bound the offset before it is added: make it unsigned and write `if ({index} > MAX) return ..;` or `{index} &= MAX;`",
        "A packet pointer may move by a variable only when the verifier knows bounds of it (at most 65535 for"
        " packets). A signed"
        " value, or one of 32 bits that was sign-extended, has none.",
        when=_into_packet,
    ),
    Kind(
        "verifier-packet-write-forbidden",
        (r"cannot write into packet", r"the prog does not allow writes to packet data"),
        "programs of this type may not write packets directly",
        access("this writes into the packet"),
        "use bpf_skb_store_bytes, or a program type that may write (xdp, tc)",
        "Socket filters, cgroup_skb, flow dissectors and LWT programs see packets read-only through `data`.",
    ),
    Kind(
        "verifier-packet-helper-access",
        (r"helper access to the packet is not allowed",),
        "this helper takes no pointers into the packet",
        access("a packet pointer is passed here"),
        "copy the bytes into a local variable and pass its address",
        "Only some helpers accept packet pointers as arguments (bpf_map_lookup_elem keys in xdp and tc, csum_diff); others need"
        " memory that cannot move.",
    ),
    Kind(
        "verifier-pointer-end-arithmetic",
        (
            r"R(?P<reg>\d+) pointer arithmetic on (?P<what>pkt_end) prohibited",
            r"R(?P<reg>\d+) invalid mem access '(?P<what>pkt_end)'",
        ),
        "a pointer to the end of the packet is computed with or followed",
        access("this is data_end"),
        "add to the data pointer instead: `if (data + size > data_end)`",
        "`data_end` can only be compared. `data_end - n` and lengths computed as `data_end - data` in pointer form are"
        " not followed;"
        " a subtraction of the two as numbers is.",
    ),
    Kind(
        "verifier-null-unchecked",
        (r"R(?P<reg>\d+) invalid mem access '(?P<what>\w*or_null\w*)'",),
        "{call} may give NULL, and its result is used unchecked",
        locate.null,
        "before the use: `if (!{name}) {return}`",
        "What a lookup or an allocation gives may be NULL. The verifier lets the pointer be used only on paths where"
        " the program"
        " compared it with NULL and went the other way. The comparison must be of this very value: a second lookup is another.",
    ),
    Kind(
        "verifier-null-arithmetic",
        (r"R(?P<reg>\d+) pointer arithmetic on (?P<what>\w*or_null\w*) prohibited, null-check it first",),
        "{call} may give NULL, and its result is computed with before it is checked",
        locate.null,
        "compare before the arithmetic: `if (!{name}) {return}`",
        "Adding to a pointer that may be NULL gives something that is neither NULL nor valid: check first, then add."
        " Compilers move"
        " the addition of a field's offset before the check when the check is on `&p->field`.",
    ),
    Kind(
        "verifier-null-argument",
        (
            r"R(?P<reg>\d+) type=(?P<what>\w*or_null\w*) expected=(?P<want>.*)",
            r"Possibly NULL pointer passed to (?:trusted |helper )?arg(?P<arg>\d+)",
        ),
        "a pointer that may be NULL is passed on",
        locate.null,
        "before the call: `if (!{name}) {return}`",
        "A helper or kfunc that needs an object does not take a pointer that may be NULL.",
    ),
    Kind(
        "verifier-use-after-release",
        (_SCALAR, _SCALAR_ARGUMENT),
        "a pointer is used after {call} gave it back",
        locate.released,
        "do everything with `{name}` before {call}",
        "Submitting or discarding a ring buffer record, releasing a socket or a task: afterwards the pointer is void, also for"
        " reading.",
        when=_was_released,
    ),
    Kind(
        "verifier-null-dereference",
        (_SCALAR,),
        "a pointer is used where it is NULL",
        access("`{name}` is NULL on this path"),
        "use it on the other side of the comparison, and leave on this one",
        "On the path shown the pointer was compared with NULL and is NULL: the comparison is the wrong way round, or"
        " the branch that"
        " handles NULL goes on instead of leaving.",
        when=_is_zero,
    ),
    Kind(
        "verifier-number-as-pointer",
        (_SCALAR,),
        "a number is used as a pointer",
        locate.scalar_pointer,
        "read through bpf_probe_read_kernel (or bpf_probe_read_user, or BPF_CORE_READ) into a local variable",
        "The verifier knows this value only as a number: it was read from memory whose contents have no type here (a pt_regs"
        " argument, a field of a map value, an integer cast to a pointer), or pointer arithmetic went through an operation that"
        " keeps no pointer. Kernel addresses in tracing programs are followed with the probe_read helpers.",
    ),
    Kind(
        "verifier-map-value-negative",
        (
            r"R(?P<reg>\d+) min value is negative, either use unsigned index or do a if \(index >=0\) check",
            r"invalid access to map value, value_size=\d+ off=-\d+ size=\d+",
        ),
        "the index may be negative",
        locate.index,
        "make `{index}` unsigned, or write `if ({index} < 0) return ..;` before its use",
        "A signed index has a lower bound too: a comparison `i < N` leaves the negative numbers.",
    ),
    Kind(
        "verifier-map-value-unbounded",
        (
            r"R(?P<reg>\d+) unbounded memory access, make sure to bounds check any such access",
            r"math between map_value pointer and register with unbounded min value is not allowed",
            r"R(?P<reg>\d+) unbounded memory access, make sure to bounds check any array access into a map",
        ),
        "nothing bounds the offset into this value",
        locate.index,
        "before the access: `if ({index} >= LENGTH) return ..;`, or `{index} &= LENGTH - 1` where that is a power of two",
        "The verifier must know the largest offset at which a map's value is accessed. A check counts only where it is"
        " on the same"
        " value that is used as the index: after it was copied to a narrower or wider type, reloaded from memory, or"
        " compared as"
        " another expression, the bound may be lost.",
    ),
    Kind(
        "verifier-map-value-too-small",
        (r"invalid access to map value, value_size=(?P<value_size>\d+) off=(?P<off>-?\d+) size=(?P<size>\d+)",),
        "bytes {off} to {end} of a map value of {value_size} bytes",
        locate.value_too_small,
        "use a type for the access that is not larger than the map's value, or give the map a larger value type; to a call,"
        " give the size of the member that it is to fill",
        "The access is at a constant offset that lies outside of the map's value: the pointer's C type is not the map's.",
        when=_fixed,
    ),
    Kind(
        "verifier-map-value-index",
        (r"invalid access to map value, value_size=(?P<value_size>\d+) off=(?P<off>-?\d+) size=(?P<size>\d+)",),
        "the largest index reaches byte {end} of a map value of {value_size} bytes",
        locate.index,
        "bound the index so that the last byte stays inside: `if ({index} >= LENGTH) return ..;`",
        "The bound that the verifier knows of the index lets an access past the end of the value: an off-by-one (`>`"
        " for `>=`), a"
        " mask one bit too wide, or a bound of a different array.",
        when=_not_empty,
    ),
    Kind(
        "verifier-map-read-only",
        (r"write into map forbidden",),
        "a write into a map that programs may only read",
        whole.read_only,
        "declare the variable without `const`, or the map without BPF_F_RDONLY_PROG",
        "`const` globals lie in .rodata, which is frozen at load; maps with BPF_F_RDONLY_PROG are only written by userspace.",
    ),
    Kind(
        "verifier-map-write-only",
        (r"read from map forbidden",),
        "a read from a map that programs may only write",
        access("this reads from it"),
        "drop BPF_F_WRONLY_PROG from the map's flags",
        "A map with BPF_F_WRONLY_PROG is read by userspace only.",
    ),
    Kind(
        "verifier-map-key-write",
        (r"write to change key R(?P<reg>\d+) not allowed",),
        "a write to the key of a map's element",
        access("this changes the key"),
        "copy the key into a local variable and change that",
        "The key that bpf_for_each_map_elem gives to its callback belongs to the map: it is read-only.",
    ),
    Kind(
        "verifier-memory-bounds",
        (r"invalid access to memory, mem_size=(?P<value_size>\d+) off=(?P<off>-?\d+) size=(?P<size>\d+)",),
        "bytes {off} to {end} of {value_size} bytes",
        locate.index,
        "reserve as many bytes as are used, or bound the offset",
        "Memory of a known size (a ring buffer record, a buffer of an iterator, an argument of a global function) is"
        " accessed past"
        " its end.",
        when=_not_empty,
    ),
    Kind(
        "verifier-context-variable",
        (r"variable ctx access var_off=", r"R\d+ variable offset ctx", r"dereference of modified ctx ptr R(?P<reg>\d+)"),
        "the context is read at a variable offset",
        access("the offset is not a constant"),
        "read each field by a constant offset, with a switch if need be",
        "Context accesses are rewritten field by field, so each must name its field: arrays in the context (cb, args)"
        " are indexed by"
        " constants only.",
        when=_at_variable,
    ),
    Kind(
        "verifier-context-modified",
        (r"dereference of modified ctx ptr R(?P<reg>\d+)", r"negative offset ctx ptr R(?P<reg>\d+)"),
        "the context pointer was changed before its use",
        access("a constant was added to it"),
        "read the field from the context itself: `ctx->field`",
        "The context may only be read at constant offsets from the pointer that the program was given; passing"
        " `&ctx->field` on, or"
        " ctx plus something, is refused.",
    ),
    Kind(
        "verifier-context-write",
        (r"invalid bpf_context access off=(?P<off>\d+) size=(?P<size>\d+)",),
        "this field of the context may not be written",
        access("a write of {size} bytes at offset {off}"),
        "keep the value in a local variable, or use the helper that changes it",
        "Only some fields can be written, and which depends on the program type (`skb->mark`, `skb->cb`,"
        " `sock_addr->user_ip4`).",
        when=_stores,
    ),
    Kind(
        "verifier-context-access",
        (r"invalid bpf_context access off=(?P<off>\d+) size=(?P<size>\d+)",),
        "the context has no such field for this program",
        locate.context_field,
        "read the whole field by its name in the type's own context, or use a program type that has it",
        "Program types see different fields: `skb->data` is for tc and not for socket filters, `skb->sk` not for all."
        " A read must"
        " have the field's size and offset. Tracing programs see as many arguments as their function has.",
    ),
    Kind(
        "verifier-misaligned",
        (r"misaligned (?:\w+ )?access",),
        "an access that is not aligned",
        access("this is not at a multiple of its size"),
        "copy the bytes with __builtin_memcpy, or order the struct's fields by their alignment",
        "Stack accesses must be aligned to their size, atomic ones and those with BPF_F_STRICT_ALIGNMENT everywhere.",
    ),
    Kind(
        "verifier-struct-bounds",
        (r"access beyond struct (?P<what>\w+) at off (?P<off>\d+) size (?P<size>\d+)", r"access beyond the end of member"),
        "an access past the end of struct {what}",
        access("this lies outside of the kernel's type"),
        "use the kernel's own definition: take the type from vmlinux.h with preserve_access_index",
        "Pointers with a type of the kernel's may be followed only to members that this kernel has; without CO-RE"
        " relocations the"
        " offsets of another kernel are used.",
    ),
    Kind(
        "verifier-struct-write",
        (r"only read is supported", r"only read from (?P<what>\w+) is supported"),
        "a write to an object of the kernel's",
        access("this is read-only"),
        "change the object with a helper or kfunc made for it",
        "Objects that the kernel hands to programs by type are read-only, but for a few fields of a few program types.",
    ),
    Kind(
        "verifier-memory-read-only",
        (r"R(?P<reg>\d+) cannot write into (?P<what>\w+)",),
        "a write through a pointer that is read-only",
        access("this is a {what}"),
        "copy what it points to into a local variable and change that",
        "The helper or context that gave this pointer gave it for reading.",
    ),
    Kind(
        "verifier-stack-too-large",
        (
            r"invalid (?:write to|(?:indirect )?read from|indirect access to) stack (?:type )?R\d+ off[= ]-(?P<size>\d+)",
            r"combined stack size of (?P<calls>\d+) calls is (?P<size>\d+)\. Too large",
            r"stack size of subprog \d+ is (?P<size>\d+)\. Too large",
            r"stack size (?P<size>\d+)\(extra \d+\) is too large",
        ),
        "the local variables need at least {size} bytes of stack, and there are 512",
        whole.large_variable,
        "keep the large variable in a per-CPU array map of one entry instead of on the stack",
        "All functions on a call chain share 512 bytes (256 for programs with tail calls and subprograms, in some kernels).",
        when=_over_512,
    ),
    Kind(
        "verifier-stack-argument-uninitialised",
        (
            r"invalid (?:indirect )?(?:access to|"
            r"read from) stack (?:R(?P<reg>\d+) )?off (?P<off>-?\d+)\+(?P<at>\d+) size (?P<size>\d+)",
            r"invalid indirect (?:access to|read from) stack R(?P<reg>\d+) var_off",
        ),
        "a helper is given a local variable that is not wholly initialised",
        locate.stack_argument,
        "initialise all bytes, padding too: `__builtin_memset(&{name}, 0, sizeof({name}));` before its fields are set",
        "All bytes that a helper reads must have been written, those between fields as well: an initialiser `= {{}}`"
        " need not write"
        " padding. Kernels since 6.3, and updates of older ones where a part of the 8 bytes was written, let privileged"
        " programs read such bytes.",
        when=_in_call,
        elsewhere="before 6.3, or without CAP_PERFMON",
    ),
    Kind(
        "verifier-stack-uninitialised",
        (
            r"invalid read from stack (?:R(?P<reg>\d+) )?off (?P<off>-?\d+)\+(?P<at>\d+) size (?P<size>\d+)",
            r"invalid read from stack R(?P<reg>\d+) off=(?P<off>-?\d+) size=(?P<size>\d+)",
            r"invalid read from stack R(?P<reg>\d+) var_off",
        ),
        "a local variable is read before it was written",
        locate.stack_argument,
        "give `{name}` a value where it is declared",
        "Stack bytes must be written on every path before they are read. Kernels since 6.3, and updates of older ones where a"
        " part of the 8 bytes was written, let privileged programs read them.",
        when=_inside_stack,
        elsewhere="before 6.3, or without CAP_PERFMON",
    ),
    Kind(
        "verifier-stack-variable-offset",
        (
            r"invalid (?:unbounded )?variable-offset",
            r"R(?P<reg>\d+) variable (?:offset )?stack (?:pointer|access)",
            r"variable stack (?:read|write|access)",
            r"R\d+ unbounded memory access.*stack",
            r"R(?P<reg>\d+) has unknown scalar with mixed signed bounds",
        ),
        "a local array is accessed at an index without bounds",
        locate.index,
        "before the access: `if ({index} >= LENGTH) return ..;`, or mask it: `{index} & (LENGTH - 1)`",
        "An index into a local array must have bounds that keep the access inside of the array.",
    ),
    Kind(
        "verifier-stack-out-of-bounds",
        (
            r"invalid (?:write to |read from )?stack (?:type )?R(?P<reg>\d+) off=?(?P<off>-?\d+)(?: access_size|"
            r" size)=(?P<size>-?\d+)",
            r"invalid stack (?:type )?R\d+ off=",
            r"invalid indirect (?:access to|read from) stack R(?P<reg>\d+) off=(?P<off>-?\d+) size=(?P<size>\d+)",
            r"invalid (?:read from|write to) stack R(?P<reg>\d+) off (?P<off>-?\d+)(?!\+)",
        ),
        "an access outside of the stack",
        locate.stack_size,
        "pass no more than the variable holds: use `sizeof({name})` for the size",
        "The size given to a helper is larger than the local variable behind the pointer, or an array is accessed past"
        " its end. The"
        " stack has 512 bytes, and nothing lies above it.",
    ),
    Kind(
        "verifier-stack-pointer-returned",
        (r"cannot return stack pointer to the caller",),
        "a pointer to a local variable is returned",
        access("its memory ends with the function"),
        "let the caller pass the memory to be filled",
        "The stack of a function is gone when it returns.",
    ),
    Kind(
        "verifier-spilled-pointer",
        (
            r"attempt to corrupt spilled pointer on stack",
            r"invalid size of register (?:spill|fill)",
            r"leaking pointer from stack",
        ),
        "part of a pointer on the stack is accessed",
        access("this touches part of a saved pointer"),
        "read and write pointers as whole 8-byte values",
        "A pointer that lies on the stack may be overwritten or read as a whole only; a union or a cast gets at its bytes.",
    ),
    Kind(
        "verifier-frame-pointer-write",
        (r"frame pointer is read only",),
        "r10 is written",
        access("r10 always points to the frame"),
        "use another register",
        "r10 is the frame pointer and cannot be changed; `r1 = r10; r1 += -8` is how an address is made.",
    ),
    Kind(
        "verifier-uninitialised",
        (r"R(?P<reg>\d+) !read_ok",),
        "a value is used that nothing has set on this path",
        locate.uninitialised,
        "give `{name}` a value on every path, at best where it is declared",
        "A register is read that this path never wrote: a variable set only in some branches, a function without a"
        " return value, a"
        " value kept in r1 to r5 over a call. Compilers turn undefined behaviour (a missing return, a read of an uninitialised"
        " variable) into this.",
    ),
    Kind(
        "verifier-pointer-plus-pointer",
        (r"R(?P<reg>\d+) pointer (?P<op>\+=|-=) pointer prohibited",),
        "two pointers are added",
        access("both sides are pointers"),
        "add a number to a pointer; the difference of two packet pointers is `(long)end - (long)begin`",
        "The sum of two pointers means nothing; often one of them was meant to be dereferenced.",
    ),
    Kind(
        "verifier-pointer-32-bit",
        (r"R(?P<reg>\d+) 32-bit pointer arithmetic prohibited", r"R(?P<reg>\d+) partial copy of pointer"),
        "a pointer goes through 32-bit arithmetic",
        access("only 32 bits of it are left"),
        "use pointers or 64-bit integers: `void *data = (void *)(long)ctx->data`",
        "A pointer must stay in 64 bits. A cast to `int` or `__u32`, also for an intermediate result, cuts it.",
        when=_is_32_bit,
    ),
    Kind(
        "verifier-pointer-operator",
        (
            r"R(?P<reg>\d+) pointer arithmetic with (?P<op>\S+) operator prohibited",
            r"R(?P<reg>\d+) bitwise operator (?P<op>\S+) on pointer prohibited",
            r"R(?P<reg>\d+) tried to (?:add|subtract)",
            r"R(?P<reg>\d+) (?:tried to subtract pointer from scalar|subtraction from stack pointer prohibited)",
            r"math between (?P<what>\w+) pointer and -?\d+ is not allowed",
            r"R(?P<reg>\d+) 32-bit pointer arithmetic prohibited",
        ),
        "an operation that pointers do not allow",
        access("a pointer is changed with this"),
        "compute with numbers and add the result to the pointer at the end",
        "Pointers allow addition and subtraction of numbers only: masks, shifts, multiplication and negation make a"
        " number of them.",
        when=_is_operator,
    ),
    Kind(
        "verifier-pointer-arithmetic",
        (r"R(?P<reg>\d+) pointer arithmetic on (?P<what>\w+) prohibited",),
        "arithmetic on a {what}",
        access("this pointer cannot be moved"),
        "use the pointer as it is, at constant offsets of its type",
        "Pointers to maps, sockets and other objects are handles: they cannot be moved.",
    ),
    Kind(
        "verifier-pointer-range",
        (
            r"R(?P<reg>\d+) pointer arithmetic of \w+ goes out of range",
            r"value (?P<value>-?\d+) makes (?P<what>\w+) pointer be out of bounds",
            r"math between (?P<what>\w+) pointer and (?:register with unbounded min value|-?\d+) is not allowed",
            r"(?P<what>\w+) pointer offset (?P<value>-?\d+) is not allowed",
        ),
        "a pointer is moved too far",
        locate.index,
        "bound what is added before it is added: `if ({index} > MAX) return ..;`",
        "Offsets of pointers are limited to 2^29; a number without bounds, or one that may be negative, exceeds that.",
    ),
    Kind(
        "verifier-pointer-comparison",
        (r"R(?P<reg>\d+) pointer comparison prohibited",),
        "a pointer is compared with a number",
        access("this compares addresses"),
        "compare what it points to, or load the program with CAP_PERFMON",
        "Unprivileged programs may not learn addresses; comparing a pointer with anything but NULL or data_end would tell.",
        elsewhere="without CAP_PERFMON",
    ),
    Kind(
        "verifier-pointer-leak",
        (r"R(?P<reg>\d+) leaks addr (?P<how>.*)",),
        "an address of the kernel's would leave the program",
        access("the pointer is stored here"),
        "store a number instead: an index, a key, a hash",
        "Unprivileged programs may not give addresses to userspace, nor into the context.",
        elsewhere="without CAP_PERFMON",
    ),
    Kind(
        "verifier-division-by-zero",
        (r"div by zero",),
        "a division by the constant 0",
        access("the divisor is 0"),
        "divide by something else, or test the divisor first",
        "A division by a constant 0 is refused; one by a variable that is 0 gives 0.",
    ),
    Kind(
        "verifier-shift",
        (r"invalid shift (?P<value>-?\d+)",),
        "a shift by {value} bits",
        access("there are not as many bits"),
        "shift by less than the width of the type",
        "A constant shift must be less than 64, or 32 for 32-bit operations.",
    ),
)
