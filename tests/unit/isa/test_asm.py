"""Assembly files: what they may hold, and what is said about a line that is wrong."""

from __future__ import annotations

import pytest

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa import asm
from bpfsmith.isa.asm import assemble, assemble_insns
from bpfsmith.isa.disasm import disassemble, listing
from bpfsmith.isa.insn import BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD
from bpfsmith.isa.program import MapSpec


def findings(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(InputError) as caught:
        assemble(text, "a.s")
    return caught.value.diagnostics


def only_finding(line: str) -> Diagnostic:
    (finding,) = findings(f".section xdp\n{line}\n")
    assert finding.primary is not None
    assert finding.primary.span.line == 2
    return finding


def marked(line: str) -> str:
    """The characters that the finding points at."""
    finding = only_finding(line)
    assert finding.primary is not None
    return line[finding.primary.span.column - 1 : finding.primary.span.end_column - 1]


def test_the_example_in_the_manual_assembles() -> None:
    manual = asm.__doc__ or ""
    example = manual[manual.index("    .license") : manual.index("`.map` also")]
    (program,) = assemble(example, "manual.s")
    assert (program.name, program.section, program.license) == ("count", "xdp", "GPL")
    assert program.maps == (MapSpec("counts", "BPF_MAP_TYPE_ARRAY", 4, 8, 16),)
    assert [text for _, _, text in listing(program.insns)][4:8] == [
        "r1 = map[counts]",
        "call bpf_map_lookup_elem#1",
        "if r0 == 0x0 goto pc+2",
        "r1 = 1",
    ]


def test_a_section_names_its_program_unless_the_file_does() -> None:
    programs = assemble(".section tcx/ingress\nr0 = 0\nexit\n.section xdp\n.program drop\nr0 = 1\nexit", "two.s")
    assert [(program.name, program.section, len(program.insns)) for program in programs] == [
        ("tcx_ingress", "tcx/ingress", 2),
        ("drop", "xdp", 2),
    ]


def test_a_program_has_the_functions_and_maps_that_it_reaches_and_no_others() -> None:
    (program,) = assemble(
        """
        .map used hash key=4 value=8 max=1
        .map unused hash key=4 value=8 max=1
        .section xdp
            call first
            exit
        .function first global
            r1 = used ll
            call second
            exit
        .function second
            r2 = second ll
            exit
        .function third
            exit
        """,
        "calls.s",
    )
    assert [(sub.name, sub.is_global) for sub in program.subprograms] == [("first", True), ("second", False)]
    assert [spec.name for spec in program.maps] == ["used"]
    first, second = program.subprograms
    assert (first.insns[0].src_reg, first.insns[0].symbol) == (BPF_PSEUDO_MAP_FD, "used")
    assert (second.insns[0].src_reg, second.insns[0].symbol) == (BPF_PSEUDO_FUNC, "second")
    assert [disassemble(insn) for insn in program.linked()][:2] == ["call first", "exit"]
    assert program.linked()[0].imm == 1


def test_a_data_section_is_a_map_with_its_first_value() -> None:
    text = """
        .map .rodata BPF_MAP_TYPE_ARRAY key=4 value=2 max=1 flags=0x80 initial=cafe frozen
        .section xdp
        r1 = map[.rodata][0]+1
        exit
    """
    (program,) = assemble(text, "data.s")
    assert program.map(".rodata") == MapSpec(".rodata", "BPF_MAP_TYPE_ARRAY", 4, 2, 1, 0x80, initial=b"\xca\xfe", frozen=True)
    assert program.insns[0].imm == 1 << 32


def test_labels_count_slots_and_may_stand_before_or_behind() -> None:
    insns = assemble_insns("again: r1 = 1 ll\nif r1 == 2 goto out\ngotol again\nmay_goto out\nout: exit")
    assert [disassemble(insn) for insn in insns[1:4]] == ["if r1 == 0x2 goto pc+2", "gotol pc-4", "may_goto pc+0"]


def test_comments_end_a_line_but_do_not_cut_a_helper_from_its_number() -> None:
    text = "# a\n; b\n// c\n  # d\ncall bpf_ktime_get_ns#5 # e\nexit;f\nr0 = 0//g"
    assert [disassemble(insn) for insn in assemble_insns(text)] == ["call bpf_ktime_get_ns#5", "exit", "r0 = 0"]


def test_an_insn_remembers_its_line_and_columns() -> None:
    (insn,) = assemble_insns("  x:  r0 = 12  # why", "s.s")
    assert insn.span is not None
    assert (str(insn.span), insn.span.end_column) == ("s.s:1:7", 14)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("r1 = *(u8*)(r2 + 4)", "r1 = *(u8 *)(r2 +4)"),
        ("w1=-1", "w1 = 0xffffffff"),
        ("if r1 == -1 goto +3", "if r1 == 0xffffffff goto pc+3"),
        ("call 5", "call bpf_ktime_get_ns"),
        ("call unknown#5", "call bpf_ktime_get_ns"),
        ("*(u32 *)(r1 +0) = 0xfffffffe", "*(u32 *)(r1 +0) = -2"),
        ("r1 = -1 ll", "r1 = 0xffffffffffffffff ll"),
        ("r1 = 010", "r1 = 10"),
    ],
)
def test_two_spellings_of_one_insn(one: str, other: str) -> None:
    assert assemble_insns(one) == assemble_insns(other)


@pytest.mark.parametrize(
    ("line", "message", "place"),
    [
        ("r1 @ 3", "found `@` where `+=`, `-=`", "@"),
        ("r1 = 5 6", "found `6` where the end of the line could stand", "6"),
        ("w1 += r2", "found `r2` where a number, a register w0 to w10 could stand", "r2"),
        ("nop", "`nop` starts no instruction", "nop"),
        ("r11 = 3", "there is no register `r11`", "r11"),
        ("r1 = be16 r2", "`r2` must be `r1` again", "r2"),
        ("*(u16 *)(r1 +40000) = 5", "40000 does not fit: -32768 to 32767 would", "+40000"),
        ("r1 = 0xffffffff", "4294967295 does not fit", "0xffffffff"),
        ("goto nowhere", "there is no label `nowhere`", "nowhere"),
        ("call nobody", "`nobody` is neither a helper nor a function", "nobody"),
        ("call bpf_ktime_get_ns#6", "helper 6 is not `bpf_ktime_get_ns`, which is helper 5", "bpf_ktime_get_ns#6"),
        ("r1 = map[none]", "there is no map `none`", "r1 = map[none]"),
        ("r1 = none ll", "there is no map `none`", "none"),
        ("nospec", "only the kernel itself may write this instruction", "nospec"),
        ("a: a: exit", "label `a` is here a second time", "a"),
        (".weight 3", "`.weight` is no directive", ".weight"),
        (".map m tree key=1", "`tree` is no map type", "tree"),
        (".map m hash keys=1", "`keys=1` is no property of a map", "m"),
        (".function f static", "found `static` where `global` or the end of the line could stand", "static"),
        (".function bpf_map_lookup_elem", "`bpf_map_lookup_elem` is the name of a helper", "bpf_map_lookup_elem"),
        (".insn opcode=1 size=3", "`size=3` is no field of an insn", ".insn"),
    ],
)
def test_a_wrong_line_is_told_what_and_where(line: str, message: str, place: str) -> None:
    assert message in only_finding(line).message
    assert marked(line).strip() == place or line == "a: a: exit"


def test_all_wrong_lines_are_told_at_once_in_order() -> None:
    found = findings(".section xdp\nr1 = \nr0 = 0\ngoto x\nr1 ? 2\nexit")
    assert [finding.primary.span.line for finding in found if finding.primary] == [2, 4, 5]
    assert {finding.id for finding in found} == {"asm-syntax"}


def test_an_insn_before_the_first_section_is_told_once() -> None:
    assert len(findings("r0 = 0\nexit")) == 1


def test_a_file_without_a_program_is_refused() -> None:
    assert "a.s has no program" in findings("# nothing\n")[0].message


def test_a_jump_beyond_16_bits_asks_for_gotol() -> None:
    (finding,) = findings(".section xdp\ngoto far\n" + "r0 = 0 ll\n" * 16384 + "far: exit")
    assert "32768 slots away" in finding.message
    assert finding.help == "use `gotol`"


def test_a_fragment_has_no_directives() -> None:
    with pytest.raises(InputError, match=r"found `\.map` where an instruction could stand"):
        assemble_insns(".map m hash")
