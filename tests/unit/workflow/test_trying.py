"""`try`: one run of a program, what is shown of it, and where it can be stopped."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.cli.main import main
from bpfsmith.packet.build import udp_packet
from bpfsmith.packet.pcap import frames, is_capture

PROGRAM = """\
.map counts hash key=4 value=8 max=2
.map seen array key=4 value=4 max=3
.section xdp
.program mark
        r6 = r1
        r1 = 1
        *(u32 *)(r10 -4) = r1
        r1 = 7
        *(u64 *)(r10 -16) = r1
        r1 = map[counts]
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call bpf_map_update_elem
        r1 = map[seen]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        *(u32 *)(r0 +0) = 9
        r2 = *(u32 *)(r6 +0)
        r3 = *(u32 *)(r6 +4)
        r4 = r2
        r4 += 34
        if r4 > r3 goto out
        r1 = 1
        *(u8 *)(r2 +22) = r1
        call twice
out:    r0 = 3
        exit
.function twice
        r0 = 7
        r0 += r0
        exit
"""
TTL_BYTE = 22

C = """\
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
__u32 count = 0;
const volatile __u32 limit = 5;
SEC("xdp")
int step(struct xdp_md *ctx)
{
	__u32 now = __sync_fetch_and_add(&count, 1);
	if (now >= limit)
		return XDP_DROP;
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""


class Try:
    """Calls the command in this process, in the directory `here`."""

    def __init__(self, here: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.here, self.patch, self.capture = here, patch, capture
        (here / "mark.s").write_text(PROGRAM)
        (here / "step.bpf.c").write_text(C)
        patch.chdir(here)

    def __call__(self, *arguments: str, typed: str = "") -> tuple[int, str, str]:
        self.patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        status = main(["try", *arguments])
        said = self.capture.readouterr()
        return status, said.out, said.err

    def report(self, *arguments: str) -> dict[str, Any]:
        status, out, err = self(*arguments, "--output-format", "json")
        assert (status, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    def lines(self, *arguments: str, typed: str = "") -> list[str]:
        status, out, err = self(*arguments, typed=typed)
        assert (status, err) == (0, "")
        return out.splitlines()

    def maps(self, contents: object) -> str:
        (self.here / "maps.json").write_text(json.dumps(contents))
        return "--maps=maps.json"

    def wrong(self, *arguments: str) -> str:
        """The id of the one error."""
        status, out, err = self(*arguments)
        assert (status, out, err.count("error[")) == (2, "", 1), out + err
        assert " = help: " in err
        return err.split("[")[1].split("]")[0]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Try:
    return Try(tmp_path, monkeypatch, capsys)


EXPECTED_CHANGES: list[dict[str, str | None]] = [
    {"map": "counts", "key": "01000000", "before": None, "after": "0700000000000000"},
    {"map": "seen", "key": "01000000", "before": "00000000", "after": "09000000"},
]


# --- what it did ------------------------------------------------------------------------------------------------------
def test_return_value_packet_maps_and_calls_are_shown(run: Try) -> None:
    lines = run.lines("mark.s")
    assert lines[0] == "mark (xdp) on the interpreter, 31 insns executed"
    assert "returns     XDP_TX (3)" in lines
    assert "maps        counts[01000000] = 0700000000000000  (new)" in lines
    assert "            seen[01000000] = 09000000  (was 00000000)" in lines
    assert "calls       bpf_map_update_elem(map=counts, key=01000000, value=0700000000000000, flags=0x0) = 0x0" in lines
    marks = [index for index, line in enumerate(lines) if line.strip() == "^^"]
    assert len(marks) == 1
    assert lines[marks[0] - 1][lines[marks[0]].index("^") :].startswith("01 11 ")


def test_json_has_the_envelope_and_everything_that_changed(run: Try) -> None:
    report = run.report("mark.s")
    assert set(report) >= {"version", "command", "verdict", "assumptions", "counterexample", "programs", "diagnostics"}
    assert (report["command"], report["verdict"], report["action"]) == ("try", "done", "XDP_TX (3)")
    assert report["map_changes"] == EXPECTED_CHANGES
    before, after = (bytes.fromhex(str(report[f"packet_{when}"])) for when in ("before", "after"))
    assert [at for at in range(len(before)) if before[at] != after[at]] == [TTL_BYTE]


@pytest.mark.kernel
def test_the_kernel_does_the_same(run: Try) -> None:
    """Law: interpreter and kernel show the same run."""
    given = run.maps({"counts": {"02000000": "0100000000000000"}, "seen": {"02000000": "ffffffff"}})
    (expected, actual) = (run.report("mark.s", given, "--engine", engine) for engine in ("interpreter", "kernel"))
    for name in ("return_value", "action", "packet_before", "packet_after", "map_changes"):
        assert actual[name] == expected[name]
    assert str(actual["engine"]).startswith("kernel ")


@pytest.mark.kernel
def test_what_the_verifier_rejects_does_not_run(run: Try) -> None:
    (run.here / "bad.s").write_text(".section xdp\nr0 = *(u8 *)(r1 +1000)\nexit\n")
    status, _, err = run("bad.s", "--engine", "kernel")
    assert status == 1
    assert "error[verifier-context-access]" in err


def test_variables_have_their_names(run: Try) -> None:
    assert "maps        count = 1  (was 0)" in run.lines("step.bpf.c")


def test_concise_is_one_line(run: Try) -> None:
    assert run.lines("mark.s", "--output-format", "concise") == ["mark XDP_TX (3)"]


def test_an_appnet_program_is_compiled_and_its_init_has_run(run: Try) -> None:
    text = "state:\n    last: Instant\n    n: int\ninit():\n    last = current_time()\n    n = 5\nreq(rpc):\n    n = n + 1\n"
    (run.here / "count.appnet").write_text(text)
    lines = run.lines("count.appnet")
    assert "state       n = 6  (was 5)" in lines
    assert "note: init() has run before" in lines


# --- what it runs on --------------------------------------------------------------------------------------------------
def test_contents_of_maps_are_what_the_run_begins_with(run: Try) -> None:
    report = run.report("mark.s", run.maps({"counts": {"01000000": "0a00000000000000"}}))
    assert report["map_changes"] == [{**EXPECTED_CHANGES[0], "before": "0a00000000000000"}, EXPECTED_CHANGES[1]]


def test_data_sections_are_given_as_bytes_and_constants_too(run: Try) -> None:
    assert run.report("step.bpf.c", run.maps({".bss": "04000000"}))["action"] == "XDP_PASS (2)"
    assert run.report("step.bpf.c", run.maps({".bss": "05000000"}))["action"] == "XDP_DROP (1)"
    assert run.report("step.bpf.c", run.maps({".bss": "05000000", ".rodata": "06000000"}))["action"] == "XDP_PASS (2)"


def capture(*packets: bytes, order: str = "<", linktype: int = 1) -> bytes:
    import struct

    head = struct.pack(f"{order}IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, linktype)
    return head + b"".join(struct.pack(f"{order}IIII", 1, 2, len(data), len(data)) + data for data in packets)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_first_packet_of_a_capture_is_taken(run: Try, order: str) -> None:
    first, second = udp_packet(b"first"), udp_packet(b"second")
    (run.here / "two.pcap").write_bytes(capture(first, second, order=order))
    assert run.report("mark.s", "--packet", "two.pcap")["packet_before"] == first.hex()
    assert list(frames(capture(first, second, order=order))) == [first, second]


def test_a_packet_in_hex_may_have_spaces_and_colons(run: Try) -> None:
    packet = udp_packet(b"x")
    for text in (packet.hex(), packet.hex(" "), packet.hex(":")):
        assert run.report("mark.s", "--packet", text)["packet_before"] == packet.hex()


def test_captures_that_are_none(run: Try) -> None:
    whole = capture(udp_packet())
    assert is_capture(whole)
    assert not is_capture(b"hello")
    for data in (
        whole[:10],
        whole[:30],
        whole[:50],
        capture(udp_packet(), linktype=113),
        b"\x0a\x0d\x0d\x0a" + bytes(40),
        whole[:24],
    ):
        (run.here / "bad.pcap").write_bytes(data)
        assert run.wrong("mark.s", "--packet", "bad.pcap") == "bad-packet"


WRONG_MAPS = {
    "not_an_object": ([], "bad-maps-file"),
    "unknown": ({"other": {}}, "unknown-map"),
    "a_number": ({"counts": 5}, "bad-maps-file"),
    "a_hash_as_bytes": ({"counts": "00"}, "bad-maps-file"),
    "a_value_that_is_no_text": ({"counts": {"00000000": 5}}, "bad-maps-file"),
    "no_hex": ({"counts": {"zz": "00"}}, "bad-hex"),
    "short_key": ({"counts": {"00": "0000000000000000"}}, "map-contents"),
    "long_value": ({"seen": {"00000000": "0000000000000000"}}, "map-contents"),
    "outside_of_the_array": ({"seen": {"03000000": "00000000"}}, "map-contents"),
    "too_many": ({"counts": {f"0{i}000000": "00" * 8 for i in range(3)}}, "map-contents"),
}


@pytest.mark.parametrize("name", WRONG_MAPS)
def test_contents_that_fit_no_map_are_refused(run: Try, name: str) -> None:
    contents, id = WRONG_MAPS[name]
    assert run.wrong("mark.s", run.maps(contents)) == id


def test_files_that_are_no_json_are_refused(run: Try) -> None:
    assert run.wrong("mark.s", "--maps", "mark.s") == "bad-maps-file"
    assert run.wrong("mark.s", "--maps", "missing.json") == "unreadable-file"


WRONG = {
    "no_file": ((), "bad-command"),
    "step_in_the_kernel": (("mark.s", "--step", "--engine", "kernel"), "bad-command"),
    "break_in_the_kernel": (("mark.s", "--break", "7", "--engine", "kernel"), "bad-command"),
    "packet": (("mark.s", "--packet", "xyz"), "bad-hex"),
    "short_packet": (("mark.s", "--packet", "00" * 13), "bad-packet"),
    "no_packet": (("mark.s", "--packet", "missing.pcap"), "unreadable-file"),
    "program": (("mark.s:other",), "unknown-program"),
    "line": (("mark.s", "--break", "1"), "bad-breakpoint"),
    "insn": (("mark.s", "--break", "@99"), "bad-breakpoint"),
    "function": (("mark.s", "--break", "thrice"), "bad-breakpoint"),
    "nowhere": (("mark.s", "--break", ""), "bad-breakpoint"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_commands(run: Try, name: str) -> None:
    arguments, id = WRONG[name]
    assert run.wrong(*arguments) == id


def test_a_run_that_faults_stops_at_its_line(run: Try) -> None:
    (run.here / "bad.s").write_text(".section xdp\nr0 = 1\nr0 = *(u8 *)(r2 +0)\nexit\n")
    status, out, err = run("bad.s")
    assert (status, out) == (2, "")
    assert "error[run-fault]" in err
    assert "bad.s:3:1" in err


def test_what_has_no_model_is_said(run: Try) -> None:
    (run.here / "bad.s").write_text(".section xdp\ncall bpf_snprintf_btf\nr0 = 1\nexit\n")
    assert run.wrong("bad.s") == "run-not-modelled"
    (run.here / "bad.s").write_text(".section xdp\ngoto pc-1\nexit\n")
    assert run.wrong("bad.s") == "run-too-long"


# --- stopping ---------------------------------------------------------------------------------------------------------
def line_of(text: str) -> int:
    return next(number for number, line in enumerate(PROGRAM.splitlines(), 1) if text in line)


def test_breakpoints_print_the_registers_and_go_on(run: Try) -> None:
    lines = run.lines("mark.s", "--break", str(line_of("call twice")), "--break", "twice", "--break", "@0")
    stops = [line.strip() for line in lines if line.startswith(" ") and ": " in line and not line.startswith("        ")]
    assert stops == ["0: r6 = r1", "27: call twice", "30: r0 = 7"]
    at = lines.index("  27: call twice")
    assert lines[at + 1 : at + 6] == [
        "        r0 = seen+8",
        "        r1 = 0x1",
        "        r2 = packet",
        "        r3 = packet+61",
        "        r4 = packet+34",
    ]
    assert "returns     XDP_TX (3)" in lines


def test_stops_are_in_the_json(run: Try) -> None:
    (stop,) = run.report("mark.s", "--break", "twice")["stops"]
    assert (stop["function"], stop["slot"], stop["line"], stop["text"]) == ("twice", 30, line_of("r0 = 7"), "r0 = 7")
    assert stop["registers"]["r10"] == "fp"


def test_a_line_of_c_is_entered_once(run: Try) -> None:
    number = next(number for number, line in enumerate(C.splitlines(), 1) if "fetch_and_add" in line)
    lines = run.lines("step.bpf.c", "--break", str(number))
    assert [line for line in lines if line.startswith("step.bpf.c:")] == [
        f"step.bpf.c:{number}  __u32 now = __sync_fetch_and_add(&count, 1);"
    ]


def test_stepping_shows_what_changed(run: Try) -> None:
    lines = run.lines("mark.s", "--step", typed="s\ns\n\np r6\nq\n")
    assert lines == [
        "mark.s:5  r6 = r1",
        "   0: r6 = r1",
        "        r1 = ctx",
        "        r10 = fp",
        "mark.s:6  r1 = 1",
        "   1: r1 = 1",
        "        r6 = ctx",
        "mark.s:7  *(u32 *)(r10 -4) = r1",
        "   2: *(u32 *)(r10 -4) = r1",
        "        r1 = 0x1  (was ctx)",
        "mark.s:8  r1 = 7",
        "   3: r1 = 7",
        "r6 = ctx",
        "",
        "mark was left on the interpreter before its end, 4 insns executed",
    ]


def test_next_goes_over_calls_and_step_into_them(run: Try) -> None:
    begin = f"b {line_of('call twice')}\nc\n"
    assert any("28: r0 = 3" in line for line in run.lines("mark.s", "--step", typed=f"{begin}n\nq\n"))
    assert any("30: r0 = 7" in line for line in run.lines("mark.s", "--step", typed=f"{begin}s\nq\n"))


def test_commands_look_around_and_say_what_they_do_not_know(run: Try) -> None:
    lines = run.lines(
        "mark.s", "--step", typed="m counts\nm other\nregs\npkt\nhelp\nfrobnicate\np r11\nb 1\nb @13\nc\nm counts\nq\n"
    )
    for line in (
        "counts holds no entry",
        "the maps are: counts, seen",
        "        r10 = fp",
        "q, quit        end the run here",
        "there is no command frobnicate; `help` lists them",
        "say `p r0` to `p r10`",
        "1: no insn comes from line 1; there are insns of line 5, 6, 7, 8, 9",
        "counts[01000000] = 0700000000000000",
    ):
        assert line in lines
    assert sum("Ethernet" in line for line in lines) == 1


def test_when_the_commands_end_the_program_goes_on(run: Try) -> None:
    assert "returns     XDP_TX (3)" in run.lines("mark.s", "--step", "--break", "twice", typed="s\n")


def test_step_does_not_mix_with_json(run: Try) -> None:
    status, out, _ = run("mark.s", "--step", "--output-format", "json")
    assert (status, json.loads(out)["diagnostics"][0]["id"]) == (2, "bad-command")
