from __future__ import annotations

import struct

import pytest

from bpfsmith.diagnostic import InputError, Unsupported
from bpfsmith.isa.insn import BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_KFUNC_CALL, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE
from bpfsmith.objfile.btf import DataSec, Int, Struct
from bpfsmith.objfile.btf_ext import CoreKind
from bpfsmith.objfile.maps import BPF_F_MMAPABLE, BPF_F_RDONLY_PROG
from bpfsmith.objfile.object import Object, read_object
from tests.support.bpfc import compile_c
from tests.support.objects import RICH


@pytest.fixture(scope="module")
def rich() -> Object:
    return read_object(compile_c(RICH))


def diagnostic_id(error: pytest.ExceptionInfo[InputError | Unsupported]) -> str:
    return error.value.diagnostics[0].id


def test_programs_are_the_functions_outside_text(rich: Object) -> None:
    assert [(p.name, p.section, p.license) for p in rich.programs] == [
        ("first", "xdp", "GPL"),
        ("second", "xdp", "GPL"),
        ("third", "tc", "GPL"),
    ]


def test_a_program_has_the_subprograms_that_it_reaches_and_no_others(rich: Object) -> None:
    reached = {p.name: [(s.name, s.is_global) for s in p.subprograms] for p in rich.programs}
    assert reached == {"first": [("outer", True), ("shared", False)], "second": [("shared", False)], "third": []}


def test_a_program_has_the_maps_that_its_code_names(rich: Object) -> None:
    reached = {p.name: {m.name for m in p.maps} for p in rich.programs}
    assert reached["first"] == {"flows", ".data", ".bss", ".rodata", ".data.guard"}
    assert reached["second"] == {"table", ".bss", ".rodata"}
    assert reached["third"] == set()


def test_map_definitions(rich: Object) -> None:
    flows, table = rich.map("flows"), rich.map("table")
    assert (flows.type, flows.key_size, flows.value_size, flows.max_entries) == ("BPF_MAP_TYPE_HASH", 4, 16, 16)
    assert rich.btf is not None
    assert rich.btf.resolved(flows.value_btf_id) == rich.btf.get(Struct, "value")
    assert isinstance(rich.btf.resolved(flows.key_btf_id), Int)
    assert (table.type, table.key_size, table.value_size, table.flags) == ("BPF_MAP_TYPE_ARRAY", 4, 8, BPF_F_MMAPABLE)


def test_data_sections_are_maps_of_one_value(rich: Object) -> None:
    assert rich.btf is not None
    for name in (".data", ".bss", ".rodata", ".data.guard"):
        spec = rich.map(name)
        assert (spec.type, spec.key_size, spec.max_entries) == ("BPF_MAP_TYPE_ARRAY", 4, 1)
        assert spec.initial is not None
        assert spec.value_size == len(spec.initial)
        assert spec.value_btf_id == rich.btf.find(DataSec, name)
        assert rich.btf.sizeof(spec.value_btf_id) == spec.value_size
    assert rich.map(".data").initial == struct.pack("<Q", 7)
    assert not any(rich.map(".bss").initial or b"x")


def test_only_rodata_is_frozen(rich: Object) -> None:
    assert [spec.name for spec in rich.maps if spec.frozen] == [".rodata"]
    assert rich.map(".rodata").flags & BPF_F_RDONLY_PROG


def test_a_section_with_a_lock_is_not_mappable(rich: Object) -> None:
    assert not rich.map(".data.guard").flags & BPF_F_MMAPABLE
    assert rich.map(".data").flags & BPF_F_MMAPABLE


def test_a_load_of_a_variable_points_at_its_offset(rich: Object) -> None:
    hidden, limit = rich.variable("hidden"), rich.variable("limit")
    shared = rich.program("second").subprograms[0]
    loads = {(i.symbol, i.imm >> 32) for i in shared.insns if i.is_wide and i.src_reg == BPF_PSEUDO_MAP_VALUE}
    assert (hidden.section, hidden.offset) in loads
    assert (limit.section, limit.offset) in loads
    assert all(i.imm & 0xFFFFFFFF == 0 for i in shared.insns if i.is_wide)


def test_variables_are_where_the_initial_bytes_say(rich: Object) -> None:
    guarded = rich.variable("guarded")
    initial = rich.map(guarded.section).initial
    assert initial is not None
    assert initial[guarded.offset : guarded.offset + guarded.size] == struct.pack("<Q", 5)
    assert rich.btf is not None
    assert rich.btf.sizeof(guarded.btf_type) == 8


def test_a_static_in_a_function_is_found_by_its_bare_name(rich: Object) -> None:
    assert rich.variable("calls") == rich.variable("shared.calls")


def test_spans_are_the_lines_of_the_source(rich: Object) -> None:
    call = next(i for i in rich.program("first").insns if i.symbol == "outer")
    assert call.span is not None
    assert call.span.path.endswith("test.c")
    assert RICH.splitlines()[call.span.line - 1].strip().startswith("return outer(")
    assert RICH.splitlines()[call.span.line - 1][call.span.column - 1 :].startswith("outer(")


def test_linked_calls_lead_to_the_function_they_name(rich: Object) -> None:
    program = rich.program("first")
    linked = program.linked()
    at, starts = 0, {}
    for name, insns in ((program.name, program.insns), *((s.name, s.insns) for s in program.subprograms)):
        starts[name] = at
        at += sum(i.slots for i in insns)
    slot, calls = 0, 0
    for insn in linked:
        if insn.src_reg == BPF_PSEUDO_CALL and insn.opcode == 0x85:
            assert slot + 1 + insn.imm == starts[insn.symbol or ""]
            calls += 1
        slot += insn.slots
    assert calls == 2


def test_loader_records_start_at_each_function(rich: Object) -> None:
    program = rich.program("first")
    info = rich.info_for(program)
    starts = [0, sum(i.slots for i in program.insns)]
    starts.append(starts[-1] + sum(i.slots for i in program.subprograms[0].insns))
    assert [at for at, _ in struct.iter_unpack("<II", info.func_info)] == starts
    line_starts = [at for at, *_ in struct.iter_unpack("<IIII", info.line_info)]
    assert set(starts) <= set(line_starts)
    assert line_starts == sorted(set(line_starts))


@pytest.mark.parametrize(
    ("getter", "id_"), [("program", "unknown-program"), ("map", "unknown-map"), ("variable", "unknown-variable")]
)
def test_an_unknown_name_lists_the_known_ones(rich: Object, getter: str, id_: str) -> None:
    with pytest.raises(InputError) as caught:
        getattr(rich, getter)("nonesuch")
    known = {"program": "first, second, third", "map": "flows", "variable": "guarded"}[getter]
    assert diagnostic_id(caught) == id_
    assert known in caught.value.diagnostics[0].notes[0]


def test_an_extern_bars_its_program_and_no_other() -> None:
    source = """
    extern int elsewhere;
    SEC("xdp") int needs(struct xdp_md *c) { return elsewhere; }
    SEC("xdp") int free(struct xdp_md *c) { return 2; }
    """
    obj = read_object(compile_c(source))
    assert [p.name for p in obj.programs] == ["free"]
    with pytest.raises(Unsupported) as caught:
        obj.program("needs")
    assert diagnostic_id(caught) == "unsupported-extern"
    label = caught.value.diagnostics[0].primary
    assert label is not None
    assert label.span.line == 3


def test_values_of_the_kernels_configuration_lie_in_a_map_of_their_own() -> None:
    source = """
    extern u32 LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));
    extern u64 CONFIG_HZ __attribute__((section(".kconfig"), weak));
    SEC("xdp") int f(struct xdp_md *c) { return LINUX_KERNEL_VERSION + CONFIG_HZ; }
    """
    obj = read_object(compile_c(source))
    assert obj.map(".kconfig").value_size == 12
    assert {(e.name, e.weak, e.size) for e in obj.externs.values()} == {
        ("LINUX_KERNEL_VERSION", False, 4),
        ("CONFIG_HZ", True, 8),
    }
    assert [spec.name for spec in obj.program("f").maps] == [".kconfig"]


def test_a_symbol_of_the_kernels_stays_a_name() -> None:
    source = """
    extern const void bpf_prog_fops __attribute__((section(".ksyms")));
    SEC("xdp") int f(struct xdp_md *c) { return (u64)&bpf_prog_fops >> 32; }
    """
    obj = read_object(compile_c(source))
    assert [insn.symbol for insn in obj.program("f").insns if insn.is_wide] == ["bpf_prog_fops"]
    assert str(obj.externs["bpf_prog_fops"].kind) == "ksym"


def test_a_kernel_function_stays_a_call_by_name() -> None:
    source = """
    extern void bpf_rcu_read_lock(void) __attribute__((section(".ksyms")));
    SEC("xdp") int f(struct xdp_md *c) { bpf_rcu_read_lock(); return 2; }
    """
    program = read_object(compile_c(source)).program("f")
    assert [i.symbol for i in program.insns if i.src_reg == BPF_PSEUDO_KFUNC_CALL and i.opcode == 0x85] == ["bpf_rcu_read_lock"]


def test_the_address_of_a_function_reaches_it() -> None:
    source = """
    static long (*bpf_loop)(u32, void *, void *, u64) = (void *)181;
    static long first(u64 i, void *c) { return 0; }
    static long body(u64 i, void *c) { return 1; }
    SEC("xdp") int f(struct xdp_md *c) { bpf_loop(3, first, 0, 0); return bpf_loop(9, body, 0, 0); }
    """
    program = read_object(compile_c(source)).program("f")
    assert [i.symbol for i in program.insns if i.is_wide and i.src_reg == BPF_PSEUDO_FUNC] == ["first", "body"]
    assert [s.name for s in program.subprograms] == ["first", "body"]


def test_maps_of_maps_and_programs_keep_their_initial_entries() -> None:
    source = """
    struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, u32); __type(value, u32); };
    struct inner one SEC(".maps"), two SEC(".maps");
    struct { __uint(type, 12); __uint(max_entries, 4); __type(key, u32); __array(values, struct inner); }
        outer SEC(".maps") = { .values = { [0] = &one, [3] = &two } };
    int target(struct xdp_md *c);
    struct { __uint(type, 3); __uint(max_entries, 2); __type(key, u32); __array(values, int (void *)); }
        jumps SEC(".maps") = { .values = { [1] = (void *)&target } };
    SEC("xdp") int target(struct xdp_md *c) { return 1; }
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 3; bpf_tail_call(c, &jumps, 1); return !bpf_map_lookup_elem(&outer, &k); }
    """
    obj = read_object(compile_c(source))
    assert obj.map("outer").entries == ((0, "one"), (3, "two"))
    assert obj.map("jumps").entries == ((1, "target"),)
    inner = obj.map("outer").inner
    assert inner is not None
    assert (inner.type, inner.value_size, inner.max_entries) == ("BPF_MAP_TYPE_ARRAY", 4, 1)
    assert {m.name for m in obj.program("f").maps} == {"one", "two", "outer", "jumps"}


def test_legacy_maps_are_read_from_their_struct() -> None:
    source = """
    struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
    struct bpf_map_def SEC("maps") a = { .type = 1, .key_size = 4, .value_size = 8, .max_entries = 32, .map_flags = 1 };
    struct bpf_map_def SEC("maps") b = { .type = 6, .key_size = 4, .value_size = 16, .max_entries = 2 };
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 0; return !bpf_map_lookup_elem(&b, &k); }
    """
    obj = read_object(compile_c(source))
    a, b = obj.map("a"), obj.map("b")
    assert (a.type, a.key_size, a.value_size, a.max_entries, a.flags) == ("BPF_MAP_TYPE_HASH", 4, 8, 32, 1)
    assert (b.type, b.value_size) == ("BPF_MAP_TYPE_PERCPU_ARRAY", 16)
    assert [(i.symbol, i.src_reg) for i in obj.program("f").insns if i.is_wide] == [("b", BPF_PSEUDO_MAP_FD)]


def test_what_other_loaders_append_to_legacy_maps_names_inner_maps_and_nothing_else() -> None:
    elf = """
    struct bpf_elf_map { u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx; };
    struct bpf_elf_map SEC("maps")
        pinned = { .type = 1, .size_key = 4, .size_value = 8, .max_elem = 32, .pinning = 2, .id = 7 };
    struct bpf_elf_map SEC("maps")
        outer = { .type = 12, .size_key = 4, .size_value = 4, .max_elem = 2, .id = 9, .inner_id = 7 };
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 0; return !bpf_map_lookup_elem(&outer, &k); }
    """
    samples = """
    struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags, inner_map_idx, numa_node; };
    struct bpf_map_def SEC("maps")
        a_inner = { .type = 2, .key_size = 4, .value_size = 8, .max_entries = 5, .numa_node = 1 };
    struct bpf_map_def SEC("maps")
        b_outer = { .type = 13, .key_size = 4, .value_size = 4, .max_entries = 9, .inner_map_idx = 0 };
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 0; return !bpf_map_lookup_elem(&b_outer, &k); }
    """
    first, second = read_object(compile_c(elf)), read_object(compile_c(samples))
    assert first.map("pinned").max_entries == 32
    assert first.map("outer").inner == first.map("pinned")
    assert second.map("b_outer").inner == second.map("a_inner")


def test_globals_of_an_arena_lie_in_the_arena() -> None:
    source = """
    struct { __uint(type, 33); __uint(map_flags, 1 << 10); __uint(max_entries, 8); } arena SEC(".maps");
    int __attribute__((address_space(1))) first, second;
    SEC("syscall") int f(void *c) { first = 4; second = 5; return *(volatile long *)&arena; }
    """
    program = read_object(compile_c(source)).program("f")
    wide = {(insn.symbol, insn.src_reg, insn.imm >> 32) for insn in program.insns if insn.is_wide}
    assert wide == {("arena", BPF_PSEUDO_MAP_VALUE, 0), ("arena", BPF_PSEUDO_MAP_VALUE, 4), ("arena", BPF_PSEUDO_MAP_FD, 0)}


def test_core_relocations_are_data() -> None:
    source = """
    struct task { int pid; struct { int deep; } in; } __attribute__((preserve_access_index));
    SEC("xdp") int before(struct xdp_md *c) { return 2; }
    SEC("tp_btf/sched_switch") int f(u64 *ctx) { struct task *t = (void *)ctx[0]; return t->in.deep; }
    """
    obj = read_object(compile_c(source))
    program = obj.program("f")
    (relo,) = obj.core_relos(program)["f"]
    assert (relo.kind, relo.access) == (CoreKind.FIELD_BYTE_OFFSET, "0:1:0")
    assert 0 <= relo.insn_offset < 8 * len(program.insns)
    assert obj.core_relos(obj.program("before")) == {}


def test_an_object_without_types_still_has_programs() -> None:
    obj = read_object(compile_c('int v = 9; SEC("xdp") int f(struct xdp_md *c) { return v; }', "-g0"))
    assert obj.btf is None
    assert obj.program("f").maps[0].initial == struct.pack("<i", 9)
    assert obj.variable("v").size == 4


def test_without_sections_global_functions_are_programs() -> None:
    obj = read_object(compile_c("int f(void *c) { return 1; }"))
    assert [(p.name, p.section) for p in obj.programs] == [("f", ".text")]
