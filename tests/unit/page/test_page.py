"""The report page without a browser: names that lines share, graphs that can be read, text that stays text."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.packet.build import udp_packet
from bpfsmith.page.graph import before_and_after, codes, differing, drawn
from bpfsmith.page.html import fragment, html
from bpfsmith.page.listing import Keys, generated_pane, source_pane
from bpfsmith.page.model import Graph, Page
from bpfsmith.page.pages import page
from bpfsmith.page.sections import example, headers, proof, urgent
from bpfsmith.report import Outcome, Report

LOOP = """\
r1 = 0
r2 = 10
if r1 > r2 goto pc+3
r1 += 1
if r1 == 0x5 goto pc+2
goto pc-4
r0 = 1
exit
"""
SHORTER = LOOP.replace("r1 = 0\n", "r1 = 3\n")


def program(text: str) -> Program:
    (found,) = assemble(f".section xdp\n{text}", "program.bpf.s")
    return found


def graph(text: str) -> Graph:
    (code,) = codes(program(text))
    found = drawn("f", code, [False] * len(code.rows), Keys())
    assert found is not None
    return found


@pytest.mark.parametrize("text", [LOOP, "r0 = 0\nexit\n", "r0 = 0\n" + "if r1 == 0 goto pc+1\nr0 += 1\n" * 12 + "exit\n"])
def test_a_graph_can_be_read(text: str) -> None:
    """Law: blocks do not lie over one another, all lies in the picture, and every way is drawn."""
    found = graph(text)
    for one, two in combinations(found.nodes, 2):
        apart_x = abs(one.x - two.x) >= (one.width + two.width) / 2
        apart_y = abs(one.y - two.y) >= (one.height + two.height) / 2
        assert apart_x or apart_y
    for node in found.nodes:
        assert 0 <= node.x - node.width / 2 <= node.x + node.width / 2 <= found.width
        assert 0 <= node.y - node.height / 2 <= node.y + node.height / 2 <= found.height
    (code,) = codes(program(text))
    assert len(found.edges) == sum(len(block.successors) for block in code.function.blocks)
    numbers = [float(item) for edge in found.edges for item in re.findall(r"-?\d+(?:\.\d+)?", edge.path)]
    assert all(0 <= number <= max(found.width, found.height) for number in numbers)


def test_a_long_way_takes_its_line_and_no_blocks_width() -> None:
    """Law: checks that all lead to one exit are drawn not much wider than two blocks side by side and a line for each way."""
    checks = "".join(f"if r1 == {number} goto pc+{2 * (12 - number)}\nr0 += {number}\n" for number in range(12))
    found = graph(f"r0 = 0\n{checks}r0 = 1\nexit\n")
    widest = max(node.width for node in found.nodes)
    assert found.width < 2 * widest + 14 * 28
    assert min(node.x - node.width / 2 for node in found.nodes) < 28 * 14


def test_the_entry_is_on_top_and_loops_lead_up() -> None:
    found = graph(LOOP)
    assert found.nodes[0].y == min(node.y for node in found.nodes)
    assert any(edge.back for edge in found.edges)


def test_changed_blocks_are_marked_and_others_are_not() -> None:
    """Law: a block is marked in both graphs exactly if it holds an instruction that the other one lacks."""
    ((before, after),) = before_and_after(program(LOOP), program(SHORTER), Keys())
    assert [node.changed for node in before.nodes] == [node.changed for node in after.nodes]
    assert [node.changed for node in after.nodes] == [True] + [False] * (len(after.nodes) - 1)
    assert before_and_after(program(LOOP), program(LOOP), Keys()) == []


def test_how_far_a_jump_goes_is_no_change() -> None:
    gone, new = differing(["if r1 == 0x0 goto pc+3", "r0 = 1", "exit"], ["if r1 == 0x0 goto pc+2", "exit"])
    assert (gone, new) == ([False, True, False], [False, False])


# --- lines ------------------------------------------------------------------------------------------------------------
def test_generated_lines_share_the_key_of_their_source() -> None:
    """Law: a line of generated C lights up with the line that its `#line` names, past the file's end with the last one."""
    keys = Keys()
    source = source_pane("a", "/nowhere/a.appnet", "state:\n    x: uint\nreq(rpc):\n    x = 1\n", keys)
    text = 'int f(void)\n{\n#line 4 "/nowhere/a.appnet"\n\tx = 1;\n\treturn 2;\n}\n'
    pane = generated_pane("c", "a.bpf.c", text, {"a.appnet": 4}, keys)
    assert len(pane.lines) == 5, "directives are no lines"
    by_number = {line.number: line.key for line in pane.lines}
    four = source.lines[3].key
    assert (by_number["3"], by_number["4"], by_number["5"]) == (four, four, four)
    assert by_number["1"] not in {line.key for line in source.lines}


def test_what_is_shown_is_text() -> None:
    """Law: no name, source line or state of the user's becomes markup."""
    evil = "<script>alert(1)</script>"
    keys = Keys()
    pane = source_pane(evil, "x.c", f"// {evil}\nint x;\n", keys)
    assert "<script" not in "".join(line.html for line in pane.lines)
    report = Report("check", Outcome.UNKNOWN, assumptions=(evil,), unknown=evil)
    made = page(report, evil, evil, {evil: evil}, [*urgent(report), *proof(report)])
    for text in (html(made), fragment(made)):
        assert evil not in text
        assert "&lt;script&gt;alert(1)" in text


def test_the_same_page_is_the_same_text() -> None:
    made = Page("t", "Equal", "good", "h", "check", {"a": "b"})
    assert html(made) == html(made)


def test_a_page_asks_nobody_for_anything() -> None:
    """Law: no address of another host in it, and a policy that forbids asking."""
    text = html(Page("t", "Equal", "good", "h", "check"))
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text


# --- the counterexample -----------------------------------------------------------------------------------------------
def test_a_packet_is_shown_whole_and_its_changes_are_marked() -> None:
    """Law: the rows hold each byte once, in order; marked are those that differ from before, and only those."""
    before = udp_packet(b"ping")
    after = bytes([*before[:20], before[20] ^ 1, *before[21:], 9])
    rows = headers(after, before)
    assert b"".join(row.data for row in rows) == after
    assert {row.offset + at for row in rows for at in row.changed} == {20, len(after) - 1}


def test_the_lines_behind_the_parting_are_marked() -> None:
    run = {"action": "XDP_PASS (2)", "state": {"seen": "1"}, "packet": "", "return_value": 2, "maps": {}, "calls": {}}
    line = {"place": "a.c:1", "text": "x"}
    found = example(
        {
            "observable": "return value", "packet": "", "ctx": {"ingress_ifindex": 3}, "maps": {}, "state": {"seen": "0"},
            "helper_results": [{"helper": "bpf_get_prandom_u32", "value": 7}], "expected": run, "actual": {**run, "state": {}},
            "replayed_on": [], "traces": {"common_lines": 1, "reference": [line, line], "candidate": [line]}, "notes": [],
        }
    )  # fmt: skip
    assert [own for _, _, own in found.sides[0].trace] == [False, True]
    assert found.sides[0].state == (("seen", "1", "0"),)
    assert dict(found.inputs) == {"seen": "0", "bpf_get_prandom_u32() call 1": "0x7", "ctx->ingress_ifindex": "0x3"}
    assert "Not replayed" in found.note
