"""Pages of what was measured: every number of the report is on them, with its spread and what it is held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bpfsmith.cost.profile import load_profile
from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.page.costed import cost_page
from bpfsmith.page.html import html
from bpfsmith.page.measured import measure_page, offload_page, pairs_page
from bpfsmith.page.model import Chart, Graphs, Listings, Table
from bpfsmith.page.pages import verify_page
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.source import Span
from bpfsmith.workflow.costing import Question, cost, cost_report
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.measuring import of_tables, profile_report
from bpfsmith.workflow.offload_text import offload_report
from bpfsmith.workflow.offloading import Request, read_server, split
from bpfsmith.workflow.pairing import find_report, fuse

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_every_measured_case_is_a_bar_with_its_interval() -> None:
    """Law: each experiment is a chart whose bars are its cases: value, interval, and the study's value where it has one."""
    profile = of_tables(load_profile(None), ("maps", "user"))
    page = measure_page(profile_report(profile), profile)
    charts = [section for section in page.sections if isinstance(section, Chart)]
    experiments = [item for item in profile.experiments.values() if item.cases]
    assert len(charts) == len(experiments)
    for chart, experiment in zip(charts, experiments, strict=True):
        wanted = [(case.title, case.value, case.low, case.high, case.study) for case in experiment.cases.values()]
        assert [(bar.label, bar.value, bar.low, bar.high, bar.reference) for bar in chart.bars] == wanted
        assert all(bar.value <= chart.largest for bar in chart.bars)
    assert html(page).count('class="bar"') == sum(len(chart.bars) for chart in charts)


def test_every_predicted_path_is_a_bar_with_its_range() -> None:
    """Law: the page of `cost` has each path with the range that 8 of 10 times lie in, and the lines of the likely one."""
    path = str(EXAMPLES / "cost" / "cache.bpf.c")
    costed = cost(path, Question(hits=0.61), Toolchain())
    page = cost_page(cost_report(costed), costed, path)
    charts = {section.title: section for section in page.sections if isinstance(section, Chart)}
    prediction = costed[0].prediction
    bars = charts["cache: paths"].bars
    assert [bar.value for bar in bars] == [item.cost.ns for item in prediction.paths]
    assert all(bar.low is not None and bar.high is not None and bar.low < bar.value < bar.high for bar in bars)
    lines = charts["cache: source lines of the likely path"].bars
    assert sum(bar.value for bar in lines) == pytest.approx(prediction.likely.cost.ns, rel=0.1)
    assert "bpf_map_lookup_elem" in lines[0].label
    assert (page.verdict, charts["A request"].bars[0].label) == ("It pays", "without offload")


def test_requests_that_the_kernel_half_passes_over_have_their_share() -> None:
    """Law: the shares at the boundary are of all requests that were sent."""
    request = Request((str(EXAMPLES / "servers" / "echo.c"),), longest=4)
    done = split(read_server(request), request, Toolchain())
    report = replace(
        offload_report(done, None, None, advises=False),
        details={"requests": 300, "counters": {"answered": 22, "consumed": 0, "handed_over": 8}},
    )
    graphs = next(section for section in offload_page(report, done).sections if isinstance(section, Graphs))
    ends = [node.lines[0][0] for node in graphs.graphs[0].nodes if "(" in node.lines[0][0] and "%" in node.lines[0][0]]
    assert ends == [
        "answered in the kernel: 22 (7%)", "handed over to the process: 8 (3%)",
        "past the kernel half, too long for it: 270 (90%)",
    ]  # fmt: skip


def test_a_fused_pair_is_shown_with_what_it_was() -> None:
    """Law: the page has every pair with its form and proof, and the programs before and after."""
    source = str(EXAMPLES / "pairs" / "openlat.bpf.c")
    done = fuse([source], "6.12", (), lambda text: None)
    page = pairs_page(done.report(None), [source], done.data)
    (table,) = [section for section in page.sections if isinstance(section, Table) and section.title == "Pairs"]
    assert [row[1:3] for row in table.rows] == [("open_entry", "open_exit")]
    (listings,) = [section for section in page.sections if isinstance(section, Listings)]
    titles = [pane.title for pane in listings.panes]
    assert titles[0] == "openlat.bpf.c"
    assert any(title.endswith("before") for title in titles)
    assert any(title.endswith("fused") for title in titles)
    found = pairs_page(find_report([source], "6.12", lambda text: None), [source])
    assert found.headline == "1 pair found."


def test_a_rejection_is_marked_in_the_source() -> None:
    """Law: the page of `verify` has the source and bytecode of each file, and marks the line that a diagnostic blames."""
    path = str(EXAMPLES / "mistakes" / "unchecked.bpf.c")
    told = Diagnostic("verifier-packet-unchecked", "a packet read that nothing covers", Label(Span(path, 11, 11)))
    program = ProgramReport("only_ip", "xdp", 9, verdict="rejected", processed_insns=2, file=path)
    report = Report("verify", Outcome.REJECTED, programs=(program,), diagnostics=(told,))
    page = verify_page(report, [path], Toolchain())
    (listings,) = [section for section in page.sections if isinstance(section, Listings)]
    source, bytecode = listings.panes
    assert [line.number for line in source.lines if line.mark] == ["11"]
    assert {line.key for line in bytecode.lines if line.key} & {line.key for line in source.lines}
    assert (page.verdict, page.tone) == ("Rejected", "bad")
    assert "packet read that nothing covers" in html(page)


def test_the_boundary_has_every_function_and_every_end() -> None:
    """Law: the page of `offload` draws the functions that requests reach, marks those of the kernel half, and the lines that
    need the process."""
    path = str(EXAMPLES / "servers" / "kv.c")
    request = Request((path,))
    done = split(read_server(request), request, Toolchain())
    page = offload_page(offload_report(done, None, None, advises=False), done)
    graphs = next(section for section in page.sections if isinstance(section, Graphs))
    boxes = {node.lines[0][0]: node.changed for node in graphs.graphs[0].nodes}
    assert {"requests", "main()", "find()", "hash()", "handed over to the process"} <= set(boxes)
    assert boxes["find()"]
    assert not boxes["handed over to the process"]
    (listings,) = [section for section in page.sections if isinstance(section, Listings)]
    marked = [line.html for line in listings.panes[0].lines if line.mark]
    assert any("printf" in text for text in marked)
