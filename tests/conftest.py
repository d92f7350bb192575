"""What holds for all suites: a skipped kernel test is a failure where the kernel is required, and CI draws no lots."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from bpfsmith.kernel.probe import Unavailable, can_bpf

settings.register_profile("bpfsmith", deadline=None, derandomize="CI" in os.environ)  # seconds depend on the machine
settings.load_profile("bpfsmith")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A kernel test needs bpf(2)."""
    if item.get_closest_marker("kernel"):
        capability = can_bpf()
        if isinstance(capability, Unavailable):
            pytest.skip(str(capability.obstacle))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With BPFSMITH_REQUIRE_KERNEL=1 a kernel test has no reason not to run; with BPFSMITH_REQUIRE_BROWSER=1 one of a page."""
    report = yield
    expected = hasattr(report, "wasxfail")
    for marker in ("kernel", "browser"):
        variable = f"BPFSMITH_REQUIRE_{marker.upper()}"
        if report.skipped and not expected and item.get_closest_marker(marker) and os.environ.get(variable) == "1":
            report.outcome = "failed"
            report.longrepr = f"{variable}=1, but skipped: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
