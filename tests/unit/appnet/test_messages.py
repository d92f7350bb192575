"""Messages and pairs of steps, gone wrong one at a time: each wrong program is told from the right one, never Equal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfsmith.appnet.binding_file import binding, read_binding
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import lower
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.appnet.wire import Message, payload, read_message
from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import InputError, Unsupported
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.source import SourceText
from tests.support.messages import packet

FIELDS = binding("t", {"port": 9000, "rpc_id": "id", "fields": {"id": "u32", "kind": "u8", "user": "text8(7)", "late": "u16"}})

ACL = """\
state:
    seen: uint
init():
    seen = 0
req(rpc):
    match get(rpc, 'user') == 'eve' and get(rpc, 'late') != 3:
        true =>
            seen = seen + 1
            send(err('no'), Drop)
    match get(rpc, 'kind') == 2:
        true => set(rpc, 'id', get(rpc, 'id') + 1)
"""

PAIR = """\
state:
    open: int
    limit: int
    high: int
init():
    limit = 4
req(rpc):
    match open >= limit:
        true => send(err('open'), Up)
        false => open = open + 1
    match open > high:
        true => high = open
resp(rpc):
    match open > 0:
        true => open = open - 1
"""

COUNTS = """\
state:
    by_user: Map<string, uint>
init():
    pass
req(rpc):
    match get(by_user, get(rpc, 'user')):
        Some(n) => set(by_user, get(rpc, 'user'), n + 1)
        None => set(by_user, get(rpc, 'user'), 1)
"""

LOG = """\
state:
    @size(4)
    log: Vec<<uint, bool>>
init():
    pass
req(rpc):
    set(log, size(log), (rpc_id(rpc), get(rpc, 'kind') == 1))
"""


def unchanged(c: str) -> str:
    return c


def proved(text: str, change: Callable[[str], str] = unchanged, body: str = "req", counted: bool = False) -> Verdict:
    """The verdict on what the generator writes for a program, after a change to it."""
    element = type_check(SourceText("case.appnet", text), FIELDS).element
    generated = lower(element, initial_values(element))
    changed = change(generated.c_text)
    assert change is unchanged or changed != generated.c_text, "the change must hit something"
    obj = read_object(Compiler.default().compile(changed, cpu="v3", flags=("-fno-builtin",), name="case.bpf.c"))
    vouched = generated.counted if counted else frozenset()
    return prove(element, obj.program(generated.functions[body]), obj, body=body, counted=vouched)


@pytest.mark.parametrize(
    ("text", "body"), [(ACL, "req"), (PAIR, "req"), (PAIR, "resp"), (COUNTS, "req"), (LOG, "req")], ids=str
)
def test_what_the_generator_writes_is_equal(text: str, body: str) -> None:
    """Law: what the generator writes is proved."""
    verdict = proved(text, body=body)
    assert isinstance(verdict, Equal), str(verdict)


WRONG = {
    "another port": (ACL, "0x2823", "0x2824"),
    "fragments taken": (ACL, "*(__u16 *)(data + 20) & 0xff3f", "*(__u16 *)(data + 20) & 0x1f3f"),
    "options taken": (ACL, "*(__u8 *)(data + 14) != 0x45", "(*(__u8 *)(data + 14) & 0xf0) != 0x40"),
    "longer than admitted": (ACL, "field_user_size > 7 ||", "field_user_size > 6 ||"),
    "cut off in silence": (ACL, "field_user_size > 7 ||", "0 ||"),
    "read behind the message": (ACL, "at + 2 > message_end ||", ""),
    "next field one byte early": (ACL, "at += field_user_size;", "at += field_user_size - 1;"),
    "no byte order": (ACL, "__builtin_bswap32(*(__u32 *)(data + 42))", "*(__u32 *)(data + 42)"),
    "checksum left": (ACL, "*(__u16 *)(data + 40) = 0;", ""),
    "field at another place": (ACL, "*(__u32 *)(data + 42) = ", "*(__u32 *)(data + 46) = "),
    "two letters are enough": (ACL, "field_user.words[0] == 0x65766503ULL", "(field_user.words[0] & 0xffffff) == 0x766503"),
    "one too many": (LOG, "index0 < 4", "index0 < 3"),
    "size forgotten": (LOG, "log.size = index0 + 1;", ""),
    "wrong half of the pair": (LOG, ".second = (field_kind == 1u)", ".second = (field_kind == 0u)"),
    "count starts at two": (COUNTS, " = 1u;", " = 2u;"),
    "counts twice": (COUNTS, ", 1u, __ATOMIC_RELAXED", ", 2u, __ATOMIC_RELAXED"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_never_equal(name: str) -> None:
    """Law: what reads, writes or counts something else is Different, or Unknown where the kernel refuses it; never Equal."""
    text, right, wrong = WRONG[name]
    verdict = proved(text, lambda c: c.replace(right, wrong))
    assert isinstance(verdict, Different | Unknown), name
    if isinstance(verdict, Unknown):
        assert verdict.gap in ("not-replayable", "solver-limit"), str(verdict)


def without_lock(c: str) -> str:
    """The C of a pair in which one of the two steps does not take the lock."""
    return c.replace("bpf_spin_lock(&state_lock);", "").replace("bpf_spin_unlock(&state_lock);", "")


@pytest.mark.parametrize("body", ["req", "resp"])
def test_a_step_without_the_lock_is_not_equal(body: str) -> None:
    """Law: neither step of a pair is one step without the lock; not even one that reads a single variable and writes it."""
    verdict = proved(PAIR, without_lock, body)
    assert isinstance(verdict, Unknown), str(verdict)
    assert verdict.gap == "lost-atomicity"


SHARED = """\
state:
    n: uint
    m: uint
init():
    pass
req(rpc):
    n = n + 1
resp(rpc):
    match n > 10:
        true => m = n
"""


def test_an_atomic_add_is_not_enough_beside_a_locked_step() -> None:
    """Law: an addition that another step's lock does not hold off can fall between what that step reads and writes."""
    assert isinstance(proved(SHARED, body="req"), Equal)

    def add(c: str) -> str:
        start = c.index("int case_(") if "int case_(" in c else c.index("struct xdp_md *ctx")
        head, tail = c[:start], c[start:]
        tail = tail.replace("bpf_spin_lock(&state_lock);", "", 1).replace("bpf_spin_unlock(&state_lock);", "", 1)
        return head + tail.replace("n = (n + 1u);", "__atomic_fetch_add(&n, 1, __ATOMIC_RELAXED);", 1)

    verdict = proved(SHARED, add, body="req")
    assert isinstance(verdict, Unknown), str(verdict)
    assert verdict.gap == "lost-atomicity"


CACHE = """\
state:
    cache: Map<uint, uint>
    hits: uint
init():
    pass
req(rpc):
    match get(cache, rpc_id(rpc)):
        Some(x) => hits = hits + x
        None => pass
resp(rpc):
    set(cache, rpc_id(rpc), 1)
"""


def test_what_the_other_step_does_to_a_map_is_said() -> None:
    """Law: a step that only looks into a Map which the other step changes, key and value, is not claimed to be indivisible."""
    verdict = proved(CACHE)
    assert isinstance(verdict, Equal)
    assert any(text.startswith("not atomic across CPUs") for text in verdict.assumptions)


def test_counting_without_loss_is_claimed_of_atomic_adds_only() -> None:
    """Law: that no count is lost is said of atomic additions in place, and of nothing that overwrites an entry."""

    def plain(c: str) -> str:
        return re.sub(r"__atomic_fetch_add\((entry\d), 1u, __ATOMIC_RELAXED\);", r"*\1 = *\1 + 1;", c, count=1)

    whole, torn = proved(COUNTS, counted=True), proved(COUNTS, plain, counted=True)
    assert isinstance(whole, Equal)
    assert isinstance(torn, Equal)
    assert any("none is lost" in text for text in whole.assumptions)
    assert any("can be lost" in text for text in torn.assumptions)
    unasked = proved(COUNTS)
    assert isinstance(unasked, Equal)
    assert any("can be lost" in text for text in unasked.assumptions)


# --- bindings ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "table",
    [
        {},
        {"port": 0},
        {"port": True},
        {"port": 9000, "transport": "sctp"},
        {"port": 9000, "extra": 1},
        {"port": 9000, "unreadable": "maybe"},
        {"port": 9000, "fields": {"x": "u64"}},
        {"port": 9000, "fields": {"x": 4}},
        {"port": 9000, "fields": {"x": "text8(300)"}},
        {"port": 9000, "fields": {"x": {"type": "u8", "names": {"a": 256}}}},
        {"port": 9000, "fields": {"x": {"type": "u8", "name": {}}}},
        {"port": 9000, "rpc_id": "id", "fields": {"x": "u8"}},
    ],
    ids=str,
)
def test_bad_bindings_say_what_is_wrong(table: dict[str, object]) -> None:
    """Law: a binding that means nothing is an error with an action."""
    with pytest.raises(InputError) as caught:
        binding("b.toml", table)
    (found,) = caught.value.diagnostics
    assert (found.id, bool(found.help)) == ("bad-binding", True)


def test_files_and_short_forms(tmp_path: Path) -> None:
    """Law: `udp:PORT` and files are bindings; a file that is none says so."""
    assert read_binding("udp:7").port == 7
    path = tmp_path / "b.toml"
    path.write_text('port = 5\n[request]\na = "u8"\n[response]\nb = "u16"\n')
    made = read_binding(str(path))
    assert [item.name for item in made.fields["resp"]] == ["b"]
    path.write_text("port = ")
    with pytest.raises(InputError):
        read_binding(str(path))
    with pytest.raises(InputError):
        read_binding(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("count", [0, 1, 127, 128, 300, 2**32 - 1])
def test_messages_read_back(count: int) -> None:
    """Law: what is written into a message is read from it, in every kind of field."""
    kinds = {"a": "u16le", "b": "i8", "n": "varint", "t": "text16(9)", "f": "bytes(3)", "s": "skip(2)", "z": "i32"}
    made = binding("k", {"port": 1, "fields": kinds})
    values: dict[str, int | bytes] = {"a": 65535, "b": -128, "n": count, "t": b"nine char", "f": b"\0a\0", "z": -1}
    read = read_message(made, "resp", packet(made, "resp", payload(made, "resp", values)))
    assert isinstance(read, Message)
    assert read.fields == values
    assert read_message(made, "req", packet(made, "resp", b"")) is None
    assert read_message(made, "req", packet(made, "req", b"\1")) == "a"


@pytest.mark.parametrize(("version", "refused"), [(4, []), (6, ["unsupported-payload"])])
def test_a_message_of_udp_over_ipv6_is_not_rewritten(version: int, refused: list[str]) -> None:
    """Law: what would go on without the checksum that IPv6 wants (RFC 8200, section 8.1) is an error."""
    bound = binding("b", {"port": 9000, "ip": version, "fields": {"kind": "u8"}})
    text = SourceText("p.appnet", "state:\n    n: uint\ninit():\n    pass\nreq(rpc):\n    set(rpc, 'kind', 1)\n")
    found = []
    try:
        type_check(text, bound)
    except Unsupported as error:
        found = [item.id for item in error.diagnostics]
    assert found == refused
