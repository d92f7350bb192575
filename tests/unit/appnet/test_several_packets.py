"""RPCs of several packets, TCP segments and IPv6: what is proved of a packet, what follows for all packets of an RPC, and wrong
programs that are told from the right one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bpfsmith.appnet.binding import Binding
from bpfsmith.appnet.binding_file import binding
from bpfsmith.appnet.evaluation import Actions, Plan, Watch
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.layout import layout_apart
from bpfsmith.appnet.lower import Generated, lower
from bpfsmith.appnet.meaning import behaviour
from bpfsmith.appnet.packets import FORWARDED, REFUSED, Piece, cut
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.rpcs import Remembered, arrives
from bpfsmith.appnet.sequences import EVIDENCE, gap
from bpfsmith.appnet.targets import TC_INGRESS
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.appnet.wire import Message, payload, read_message
from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import Diagnostic, InputError, Unsupported
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.terms import Terms
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.source import SourceText
from tests.support.messages import packet

HEADER = {"id": "u32", "index": "u16"}
FIRST = binding("t", {"port": 9000, "packets": {"id": "id", "number": "index"}, "header": HEADER, "fields": {"user": "u32"}})
PARTS = binding(
    "t",
    {
        "port": 9000,
        "packets": {"id": "id", "number": "index", "first": 1, "part": 6, "early": "drop", "life": 2},
        "header": HEADER,
        "fields": {"_": "skip(4)", "user": "u32"},
    },
)
TCP = binding("t", {"transport": "tcp", "port": 9000, "fields": {"kind": "u8", "user": "u32"}})
TCP_MEMORY = binding(
    "t", {"transport": "tcp", "ip": 6, "port": 9000, "packets": {"id": "sequence"}, "fields": {"kind": "u8", "user": "u32"}}
)
REFUSES = """\
state:
    refused: uint
init():
    refused = 0
req(rpc):
    match get(rpc, 'user') == 7:
        true =>
            refused = refused + 1
            send(err('no'), Drop)
"""
LOCKED = """\
state:
    seen: uint
    most: uint
init():
    seen = 0
req(rpc):
    seen = seen + 1
    match seen > most:
        true => most = seen
    match get(rpc, 'user') == 7 and randomf(0.0, 1.0) < 0.5:
        true => send(err('no'), Drop)
"""


def generated(text: str, bound: Binding) -> tuple[Any, Generated]:
    element = type_check(SourceText("case.appnet", text), bound).element
    targets = {"req": TC_INGRESS} if bound.envelope.slides else None
    return element, lower(element, initial_values(element), targets)


def proved(text: str, bound: Binding, right: str = "", wrong: str = "") -> Verdict:
    """The verdict on what the generator writes, with `wrong` in the place of `right`."""
    element, made = generated(text, bound)
    changed = made.c_text.replace(right, wrong)
    assert not right or changed != made.c_text, "the change must hit something"
    obj = read_object(Compiler.default().compile(changed, cpu="v3", flags=("-fno-builtin",), name="case.bpf.c"))
    return prove(element, obj.program(made.function), obj)


@pytest.mark.parametrize(
    ("text", "bound"), [(LOCKED, PARTS), (REFUSES, TCP), (REFUSES, TCP_MEMORY)], ids=["parts", "tcp", "tcp and memory"]
)
def test_what_the_generator_writes_is_equal(text: str, bound: Binding) -> None:
    """Law: what the generator writes is proved, and where RPCs are remembered, for every sequence of packets."""
    verdict = proved(text, bound)
    assert isinstance(verdict, Equal), str(verdict)
    assert (EVIDENCE in verdict.evidence) == (bound.packets is not None)


WRONG = {
    "a decision that is not kept": (FIRST, "bpf_map_update_elem(&rpcs_req", "if (0) bpf_map_update_elem(&rpcs_req"),
    "the wrong decision kept": (FIRST, "verdict == XDP_PASS ? 1 : 2", "verdict == XDP_PASS ? 2 : 1"),
    "kept for ever": (FIRST, "&& rpc_now < rpc_entry->until", ""),
    "a later packet decides": (FIRST, "if (field_index != 0)", "if (field_index > 1)"),
    "clients are not told apart": (FIRST, "rpc_key.address[0] = ", "(void)"),
    "early packets pass": (PARTS, "\t\treturn XDP_DROP;\n\t}\n\tif ((rpc.seen", "\t\treturn XDP_PASS;\n\t}\n\tif ((rpc.seen"),
    "decides when half is there": (PARTS, "(rpc.seen & 0x3) != 0x3", "(rpc.seen & 0x2) != 0x2"),
    "a part at another place": (PARTS, "rpc.parts + 2, data + 48, 2", "rpc.parts + 2, data + 50, 2"),
    "forgets what came before": (PARTS, "rpc = *rpc_entry;", ""),
    "options are data": (TCP, "34 + (*(__u8 *)(data + 46) >> 4) * 4", "54"),
    "another segment's number": (TCP_MEMORY, "(data + 58)", "(data + 62)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_never_equal(name: str) -> None:
    """Law: what forgets, confuses or reads something else is Different, or Unknown where the kernel refuses it."""
    bound, right, wrong = WRONG[name]
    verdict = proved(REFUSES, bound, right, wrong)
    assert isinstance(verdict, Different | Unknown), name
    if isinstance(verdict, Unknown):
        assert verdict.gap in ("not-replayable", "solver-limit"), str(verdict)


def test_the_induction_is_asked_and_can_fail() -> None:
    """Law: a step that keeps no decision, or changes the state for a decided RPC, has no induction over packets."""
    element, _ = generated(REFUSES, FIRST)
    t, watch, actions = Terms(), Watch(), Actions(2, 1)
    layout = layout_apart(element)
    step = behaviour(t, element, layout, Plan(), actions, watch=watch)
    assert gap(t, step, layout, actions, watch) is None

    def without(**changed: Any) -> Behaviour:
        return Behaviour(**{**{name: getattr(step, name) for name in Behaviour.__slots__}, **changed})

    assert gap(t, without(hashes={}), layout, actions, watch) == "what the body decides is remembered"
    assert gap(t, without(return_value=t.const(32, 2)), layout, actions, watch) == "what is decided of an RPC is followed"
    always = step.data["state"].store(t, t.const(64, 0), 4, t.const(32, 5))
    assert gap(t, without(data={"state": always}), layout, actions, watch) == "a packet of a decided RPC changes nothing"


# --- sequences of packets ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bound", [FIRST, PARTS], ids=["first decides", "parts"])
def test_all_packets_of_an_rpc_share_its_fate(bound: Binding) -> None:
    """Law: whatever is lost, comes twice or in another order, the body runs at most once for an RPC that is remembered, on the
    message as it was sent, and what is decided then holds for every later packet."""
    source = random.Random(5)
    assert bound.packets is not None
    head, part = bound.header_size, bound.packets.part or 100
    users = {number: source.choice([7, 8, 0x07000000, source.getrandbits(32)]) for number in range(12)}
    sent = []
    for number, user in users.items():
        for index in range(3 if bound.packets.part else 2):
            data = payload(bound, "req", {"id": number, "index": bound.packets.first + index, "user": user})
            cut_out = data[:head] + data[head + index * part : head + (index + 1) * part]
            sent += [(number, packet(bound, "req", cut_out))] * source.choice([0, 1, 1, 1, 2])
    source.shuffle(sent)
    memory: dict[bytes, Remembered] = {}
    ran: dict[int, bool] = {}
    for number, seen in sent:
        asked: list[Message] = []

        def decide(message: Message, asked: list[Message] = asked) -> bool:
            asked.append(message)
            return message.fields["user"] != 7

        fate = arrives(bound, "req", seen, ["user"], memory, lambda: 1000, decide)
        assert fate is not None
        memory = fate.memory
        if number in ran:
            assert not fate.ran and fate.forwarded == ran[number]
        elif fate.ran:
            assert [message.fields["user"] for message in asked] == [users[number]]
            ran[number] = fate.forwarded
    assert {True, False} == set(ran.values())


def test_what_is_remembered_ends() -> None:
    """Law: an RPC is remembered for its life, and decided anew behind it."""
    data = packet(FIRST, "req", payload(FIRST, "req", {"id": 1, "user": 7}))
    first = arrives(FIRST, "req", data, ["user"], {}, lambda: 0, lambda message: True)
    assert first is not None and first.ran and [item.decision for item in first.memory.values()] == [FORWARDED]
    within = arrives(FIRST, "req", data, ["user"], first.memory, lambda: 5 * 10**9 - 1, lambda message: False)
    assert within is not None and within.forwarded and not within.ran
    behind = arrives(FIRST, "req", data, ["user"], first.memory, lambda: 5 * 10**9, lambda message: False)
    assert behind is not None and not behind.forwarded and [item.decision for item in behind.memory.values()] == [REFUSED]


def test_fields_are_cut_where_packets_end() -> None:
    """Law: every byte of a field is in one piece, of the packet that has it."""
    parts = cut([("a", 0, 4), ("b", 5, 8)], 6)
    assert parts.pieces == (Piece(0, 0, 0, 4), Piece(0, 5, 8, 1), Piece(1, 0, 9, 6), Piece(2, 0, 15, 1))
    assert (parts.wanted, parts.size, parts.several) == (0b111, 16, True)


# --- headers ----------------------------------------------------------------------------------------------------------
def test_a_segment_is_read_behind_its_options() -> None:
    """Law: TCP options of any length are skipped, and a segment without data is no message."""
    data = payload(TCP, "req", {"kind": 3, "user": 9})
    for options in (b"", b"\1" * 4, b"\1" * 40):
        read = read_message(TCP, "req", packet(TCP, "req", data, options))
        assert isinstance(read, Message) and read.fields == {"kind": 3, "user": 9} and read.size == 5
    assert read_message(TCP, "req", packet(TCP, "req", b"", b"\1" * 12)) is None


BAD: list[tuple[dict[str, Any], str]] = [
    ({"transport": "sctp"}, "transport"),
    ({"ip": 5}, "ip = 5"),
    ({"header": {"id": "u32"}}, "no [packets]"),
    ({"packets": {"id": "id"}}, "by 'id'"),
    ({"packets": {"id": "id", "part": 9}, "header": HEADER}, "no `number`"),
    ({"packets": {"id": "id", "number": "index", "part": 9}, "header": HEADER, "fields": {"a": "text8(9)"}}, "varying"),
    ({"packets": {"id": "id", "life": 0}, "header": HEADER}, "life"),
    ({"packets": {"id": "id"}, "header": {"id": "varint"}}, "varying"),
    ({"packets": {"id": "id"}, "header": HEADER, "fields": {"id": "u8"}}, "two fields"),
    ({"transport": "tcp", "packets": {"id": "id"}}, "segments"),
    ({"transport": "tcp", "reply": {}}, "answers"),
    ({"ip": 6, "reply": {}}, "answers"),
]


@pytest.mark.parametrize(("table", "words"), BAD, ids=[words for _, words in BAD])
def test_a_wrong_binding_is_refused(table: dict[str, Any], words: str) -> None:
    """Law: what a binding says of packets must fit together."""
    with pytest.raises(InputError) as refused:
        binding("b.toml", {"port": 9000, **table})
    (found,) = refused.value.diagnostics
    assert isinstance(found, Diagnostic) and found.id == "bad-binding" and words in found.message


def test_fields_of_several_packets_are_not_rewritten() -> None:
    """Law: a field is not rewritten where a packet that is sent again would go on as it was."""
    text = REFUSES.replace("match get(rpc, 'user') == 7:", "set(rpc, 'user', 1)\n    match get(rpc, 'user') == 7:")
    with pytest.raises(Unsupported, match="several packets"):
        type_check(SourceText("case.appnet", text), FIRST)
