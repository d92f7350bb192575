"""A sentence gives the packets that show what its program does, and an AppNet program is read back as it was written."""

from __future__ import annotations

from bpfsmith.appnet.typecheck import type_check
from bpfsmith.packet.decode import decode
from bpfsmith.source import SourceText
from bpfsmith.workflow.reading import reading
from bpfsmith.workflow.writing import language_for, packets_for


def test_packets_lie_on_both_sides_of_every_bound_of_the_sentence() -> None:
    words = [item for item, _ in packets_for("drop UDP to ports 9999 and 53 from 10.0.0.0/8")]
    for wanted in (
        "udp 10.255.255.255 (last of 10.0.0.0/8) to port 9999",
        "udp 9.255.255.255 (before 10.0.0.0/8) to port 9999",
        "udp 11.0.0.0 (after 10.0.0.0/8) to port 9999",
        "udp 10.0.0.0 to port 9998",
        "udp 10.0.0.0 to port 10000",
        "udp 10.0.0.0 to port 53",
        "tcp 10.0.0.0 to port 9999",
    ):
        assert wanted in words


def test_every_packet_is_what_its_words_say() -> None:
    for words, frame in packets_for("only allow TCP from 192.0.2.0/30 to port 443"):
        layers = [layer.header.name.lower() for layer in decode(frame) if layer.header]
        if words.startswith("tcp") and "cut off" not in words:
            assert any("tcp" in name for name in layers), (words, layers)
        if words.startswith("udp"):
            assert any("udp" in name for name in layers), (words, layers)


def test_sentences_without_bounds_and_with_impossible_ones_have_packets_too() -> None:
    for sentence in ("drop everything", "drop 999.1.2.3 and port 99999", "10.0.0.1/33", "from 255.255.255.255 and 0.0.0.0"):
        assert len(list(packets_for(sentence))) >= 6


def test_addresses_and_headers_become_c_and_messages_appnet() -> None:
    assert language_for("drop UDP to port 9999 from 10.0.0.0/8") == "c"
    assert language_for("refuse one request in ten, and count them") == "appnet"


def test_a_program_is_read_back_in_its_own_words() -> None:
    text = (
        "state:\n    @size(8)\n    uses: Map<uint, uint>\n    n: uint\n    off: bool\ninit():\n    n = 3\n"
        "req(rpc):\n    n = n + 1\n    match get(uses, n % 8):\n        Some(count) =>\n            match count > 5:\n"
        "                true => send(err('worn'), Drop)\n                false => set(uses, n % 8, count + 1)\n"
        "        None => set(uses, n % 8, 1)\n"
    )
    source = SourceText("x.appnet", text)
    lines = list(reading(type_check(source).element, source))
    assert lines == [
        "remembers uses: Map<uint, uint>, at most 8 entries",
        "remembers n: uint",
        "remembers off: bool",
        "once, at the start:",
        "  n becomes 3",
        "for each request:",
        "  n becomes n + 1",
        "  if get(uses, n % 8) has a value, called count here:",
        "    if count > 5:",
        "      the message is refused: 'worn'",
        "    else if not count > 5:",
        "      set(uses, n % 8, count + 1)",
        "  else if get(uses, n % 8) has no value:",
        "    set(uses, n % 8, 1)",
        "  in all other cases the message goes on",
    ]
