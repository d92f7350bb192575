"""Pages of what was measured or split: `measure`, `pairs`, `offload`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpfsmith.cost.profile import Profile, Quantity
from bpfsmith.cost.profile import Section as Experiment
from bpfsmith.objfile.object import read_object
from bpfsmith.page.graph import diagram
from bpfsmith.page.listing import Keys, bytecode_pane, spanned_files
from bpfsmith.page.model import Bar, Chart, Graphs, Items, Listings, Page, Section, Table
from bpfsmith.page.pages import page, sources
from bpfsmith.page.sections import number, programs, proof, urgent
from bpfsmith.report import Outcome, Report
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.offloading import Split
from bpfsmith.workflow.optimizing import object_bytes


# --- measure ----------------------------------------------------------------------------------------------------------
def measure_page(report: Report, profile: Profile) -> Page:
    """Every experiment as a chart, with the study's values beside; then which of the study's findings hold here."""
    where = profile.provenance
    sections: list[Section] = [*urgent(report)]
    said = [(section, item) for section in profile.experiments.values() for item in section.findings]
    if said:
        words = {True: "holds", False: "does not hold", None: "not resolved"}
        rows = tuple(
            (f"{item.text}{f' ({section.place})' if section.place else ''}", item.component, words[item.holds],
             f"x {item.ratio:.2f}" if item.ratio is not None and item.holds is not None else "-", item.reason)
            for section, item in said
        )  # fmt: skip
        sections.append(Table("The study's findings here", ("finding", "depends on", "here", "#ratio", "why"), rows))
    sections += (_experiment(item) for item in profile.experiments.values() if item.cases)
    missing = tuple((name, case, why) for name, item in profile.experiments.items() for case, why in item.missing.items())
    if missing:
        sections.append(Table("Not measured here", ("experiment", "case", "why"), missing))
    holds = sum(item.holds is True for _, item in said)
    headline = f"{holds} of {len(said)} findings hold here." if said else "Costs of eBPF on this machine."
    facts = {
        "machine": where.cpu or where.machine, "kernel": where.kernel, "measured": where.measured_at,
        "load": str(where.load), "clock": f"{profile.speed.clock_ghz:.2f} GHz", "origin": where.origin,
    }  # fmt: skip
    return page(report, "What eBPF costs", headline, facts, sections)


def _words(case: Quantity, unit: str) -> str:
    study = f"; study {number(case.study)}" if case.study is not None else ""
    return f"{number(case.value)} {unit}, spread {number(case.spread)}{study}"


def _experiment(item: Experiment) -> Chart:
    bars = tuple(
        Bar(
            case.title, case.value,
            _words(case, item.unit),
            low=case.low, high=case.high, reference=case.study,
        )
        for case in item.cases.values()
    )  # fmt: skip
    noise = "no control" if item.noise is None else f"an A/A control differs by {item.noise:.1%}"
    study = "The red mark is the study's." if any(case.study is not None for case in item.cases.values()) else ""
    note = f"Medians of {item.rounds} rounds, the floor taken off, and their 99 % interval; {noise}. {study} {item.note}"
    place = f"{item.place}: " if item.place else ""
    return Chart(f"{place}{item.title}", item.unit, bars, note.strip())


# --- pairs ------------------------------------------------------------------------------------------------------------
def pairs_page(report: Report, files: Sequence[str], fused_object: bytes | None = None) -> Page:
    """Each pair with its state, the forms that it can take, and why not a better one; with the object that was made of one
    file, the programs before and after."""
    pairs: Sequence[Mapping[str, Any]] = _rows(report.details.get("pairs"))
    compared: Sequence[Mapping[str, Any]] = _rows(report.details.get("compared"))
    sections: list[Section] = []
    if compared:
        rows = tuple((item["pair"], item["verdict"], item["detail"] or "-") for item in compared)
        sections.append(Table("Pairs and sessions compared", ("pair", "verdict", "detail"), rows))
    if pairs:
        fused = "fused" in report.details
        head = ("file", "entry", "exit", "kind", "form" if fused else "forms", *(("proof", "verifier") if fused else ()))
        rows = tuple(
            (Path(item["file"]).name, item["entry"], item["exit"], item["kind"],
             *((item["form"] or "as it was", item["proof"] or "-", str(item["verifier"] or "-")) if fused
               else (", ".join(item["forms"]) or "as it is",)))
            for item in pairs
        )  # fmt: skip
        sections.append(Table("Pairs", head, rows))
        state = tuple(
            (item["entry"], one["name"], one["type"], one["key_class"], str(one["key_size"]), str(one["value_size"]),
             "private" if one["private"] else f"also used by {', '.join(one['used_by_others'])}")
            for item in pairs for one in item["maps"]
        )  # fmt: skip
        sections.append(Table("Their state", ("pair", "map", "type", "key", "#key bytes", "#value bytes", "whose"), state))
        sections += _reasons(pairs)
    if fused_object is not None:
        sections += _fused_listings(files[0], fused_object)
    sections += (*urgent(report), *proof(report))
    counted = f"{len(pairs)} pair{'s' * (len(pairs) != 1)}"
    word = f"{report.details['fused']} of {counted} fused." if "fused" in report.details else f"{counted} found."
    if compared:
        word = "The sessions do what the pairs do." if report.verdict is Outcome.EQUAL else "See the table."
    facts = {"files": str(report.details.get("files", 1)), "kernel": str(report.details.get("kernel", "-"))}
    return page(report, ", ".join(Path(name).name for name in files[:4]), word, facts, sections)


def _fused_listings(file: str, fused_object: bytes) -> Iterator[Section]:
    """Of one object with fused pairs: its source, both halves as they were, and the programs that took their place."""
    before = read_object(object_bytes(file, Toolchain()))
    after = read_object(fused_object)
    old = {program.name: program for program in before.programs}
    keys = Keys()
    new = [program for program in after.programs if program.name not in old or program.insns != old[program.name].insns]
    changed, left = {program.name for program in new}, {program.name for program in after.programs}
    gone = [program for program in before.programs if program.name in changed or program.name not in left]
    panes = (
        *sources(spanned_files(insn for program in gone for insn in program.linked())[:1], keys),
        *(bytecode_pane(f"{program.name} ({program.section}) before", program.linked(), keys) for program in gone),
        *(bytecode_pane(f"{program.name} ({program.section}) fused", program.linked(), keys) for program in new),
    )
    if new:
        yield Listings("Pair and fused program", panes)


def _reasons(pairs: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    rows = tuple(
        (item["entry"], row["form"], row["reason"]) for item in pairs for row in (*item["refused"], *item.get("put_aside", ()))
    )
    if rows:
        yield Table("Why not another form", ("pair", "form", "reason"), rows)
    notes = tuple(f"{item['entry']}: {note}" for item in pairs for note in item["notes"])
    if notes:
        yield Items("Remarks", notes)


def _rows(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


# --- offload ----------------------------------------------------------------------------------------------------------
def offload_page(report: Report, done: Split) -> Page:
    """The boundary on the call graph with the shares of requests, the shared state, what was compared and measured."""
    details = report.details
    sections: list[Section] = [_boundary(report, done)]
    ways = tuple(
        (item["end"], str(item["line"]), " && ".join(item["conditions"]) or "always") for item in _rows(details.get("ways"))
    )
    sections.append(Table("Ways of a request", ("end", "#line", "where"), ways))
    found = details.get("states_same")
    same = found if isinstance(found, dict) else {}
    state = tuple(
        (item["name"], str(item["line"]), number(item["bytes"]), "both halves" if item["written"] else "the user half",
         "-" if item["name"] not in same else "the same" if same[item["name"]] else "DIFFERENT")
        for item in _rows(details.get("states"))
    )  # fmt: skip
    if state:
        head = ("variable", "#line", "#bytes", "changed by", "at the end of the trial")
        sections.append(Table("State that both halves share", head, state))
    sections += _trial(details)
    places = [item.primary.span for item in report.diagnostics if item.primary is not None and item.id == "handed-over"]
    blamed = {str(Path(path).resolve()): {span.line for span in places if span.path == path} for path in done.read.sources}
    panes = tuple(sources(list(done.read.sources), Keys(), blamed=blamed))
    sections.append(Listings("The server", panes, "Red lines need the process: a request that comes to one is handed over."))
    sections += programs(report.programs, "The kernel half")
    sections += (*urgent(report), *proof(report))
    headline = {
        Outcome.PAYS: "Offloading pays by the prediction.", Outcome.DOES_NOT_PAY: "Leave this server as it is.",
        Outcome.DIFFERENT: "The split server does not do what the original does.",
        Outcome.EQUAL: "The kernel half does what the server's code does, on every request it takes.",
    }.get(report.verdict, "The kernel half is not proved.")  # fmt: skip
    advice = details.get("advice")
    facts = {"hook": done.hook, "instructions": str(done.program.insns), "requests tried": str(details.get("requests", "none"))}
    if isinstance(advice, dict):
        facts["hits"] = f"{advice['hits']:.0%}"
    return page(report, ", ".join(Path(name).name for name in done.read.sources), headline, facts, sections)


def _boundary(report: Report, done: Split) -> Graphs:
    """Functions by who calls whom, those of the kernel half marked, and where requests end."""
    server = done.read.server
    entry = done.read.findings.request.function
    within = {entry.name, *re.findall(r"\bu_(\w+)\(bs_packet", done.half.source)}
    reached, waiting = [], [entry.ref]
    while waiting:
        ref = waiting.pop(0)
        if ref in reached:
            continue
        reached.append(ref)
        waiting += [call.ref for call in server.calls.get(ref, ()) if call.ref in server.functions]
    counters = report.details.get("counters")
    sent = report.details.get("requests")
    ends = _shares(counters if isinstance(counters, dict) else {}, sent if isinstance(sent, int) else 0)
    boxes: list[tuple[Sequence[str], bool]] = [(("requests",), False)]
    for ref in reached:
        function = server.functions[ref]
        inside = function.name in within
        span = function.span()
        place = f"{Path(span.path).name}:{span.line}"
        boxes.append(((f"{function.name}()", place, "in both halves" if inside else "user half alone"), inside))
    at = {ref: number for number, ref in enumerate(reached, 1)}
    ways = [(0, 1)]
    for ref in reached:
        ways += [(at[ref], at[call.ref]) for call in server.calls.get(ref, ()) if call.ref in at]
    first_end = len(boxes)
    boxes += [((text,), kernel) for text, kernel in ends]
    ways += [(1, first_end + index) for index in range(len(ends))]
    graph = diagram(f"{entry.name}()", boxes, list(dict.fromkeys(ways)))
    note = "A request that the kernel half cannot finish is handed over before anything of it is done."
    return Graphs("The boundary", (graph,), note, legend="what the kernel half has")


def _shares(counters: Mapping[str, Any], sent: int) -> list[tuple[str, bool]]:
    """Where the requests of a trial ended, and whether that is in the kernel; what its half did not count was too long."""
    names = (("answered", "answered in the kernel", True), ("consumed", "consumed in the kernel, no reply", True),
             ("handed_over", "handed over to the process", False))  # fmt: skip
    known = sum(counters.get(name, 0) for name, _, _ in names)
    if not known:
        return [(text, kernel) for _, text, kernel in names]
    total = max(known, sent)
    ends = [(counters[name], text, kernel) for name, text, kernel in names]
    ends.append((total - known, "past the kernel half, too long for it", False))
    return [(f"{text}: {count:,} ({count / total:.0%})", kernel) for count, text, kernel in ends if count]


def _trial(details: Mapping[str, Any]) -> Iterator[Section]:
    timings = _rows(details.get("timings"))
    if timings:
        bars = []
        for item in timings:
            ratio = item["split"] / item["original"]
            text = f"{number(item['split'])} ns (x {ratio:.2f}, spread of the ratio {item['spread']:.2f})"
            half = item["spread"] * item["original"] / 2
            bars.append(Bar("before", item["original"], f"{number(item['original'])} ns", group=item["kind"]))
            bars.append(
                Bar(
                    "after",
                    item["split"],
                    text,
                    low=max(item["split"] - half, 0),
                    high=item["split"] + half,
                    group=item["kind"],
                )
            )
        note = "Medians of round trips, original and split server in turn; the line is between the quartiles of the ratio."
        yield Chart("Round trips, p50", "ns", tuple(bars), note)
    throughput = details.get("throughput")
    if throughput:
        before, after = throughput
        rows = (Bar("before", before, f"{before:,}"), Bar("after", after, f"{after:,} (x {after / max(before, 1):.2f})"))
        yield Chart("Replies in a second of CPU time, client included", "replies", rows)
    differences = tuple((item["request"][:80], item["expected"], item["actual"]) for item in _rows(details.get("differences")))
    if differences:
        yield Table("Replies that differ", ("request", "original", "split server"), differences)
