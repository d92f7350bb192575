"""Pages of what was measured: every number of the report is on them, with its spread and what it is held against."""

from __future__ import annotations

from pathlib import Path

from bpfsmith.cost.profile import load_profile
from bpfsmith.page.html import html
from bpfsmith.page.measured import measure_page, pairs_page
from bpfsmith.page.model import Chart, Listings, Table
from bpfsmith.workflow.measuring import of_tables, profile_report
from bpfsmith.workflow.pairing import find_report, fuse_files

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


def test_a_fused_pair_is_shown_with_what_it_was(tmp_path: Path) -> None:
    """Law: the page has every pair with its form and proof, and the programs before and after."""
    source, output = str(EXAMPLES / "pairs" / "openlat.bpf.c"), str(tmp_path / "fused.bpf.o")
    report = fuse_files([source], output, "6.12", (), None, lambda text: None)
    page = pairs_page(report, [source])
    (table,) = [section for section in page.sections if isinstance(section, Table) and section.title == "Pairs"]
    assert [row[1:3] for row in table.rows] == [("open_entry", "open_exit")]
    (listings,) = [section for section in page.sections if isinstance(section, Listings)]
    titles = [pane.title for pane in listings.panes]
    assert titles[0] == "openlat.bpf.c"
    assert any(title.endswith("before") for title in titles)
    assert any(title.endswith("fused") for title in titles)
    found = pairs_page(find_report([source], "6.12", lambda text: None), [source])
    assert found.headline == "1 pairs found."
