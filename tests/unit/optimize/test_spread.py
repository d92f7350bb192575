"""Learning gives the same rules on one core, on two, and on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.optimize import cache
from bpfsmith.optimize.admit import learn
from bpfsmith.optimize.spread import Spread, cluster, here, processes
from bpfsmith.workflow.inputs import Toolchain

SOURCE = Path(__file__).parents[2] / "corpus" / "pairs" / "vlan.bpf.c"


class Client:
    """A Dask client whose workers are this process."""

    def __init__(self, address: str, timeout: str) -> None:
        if address == "tcp://nobody":
            raise OSError("timed out")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], work: Iterable[Any], pure: bool) -> list[Future[Any]]:
        futures = []
        for item in work:
            future: Future[Any] = Future()
            future.set_result(function(item))
            futures.append(future)
        return futures


@pytest.fixture
def distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("distributed")
    module.Client = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distributed", module)


def _learnt(spread: Spread, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    empty = cache.RuleCache({})
    for module in ("bpfsmith.optimize.cache", "bpfsmith.optimize.admit", "bpfsmith.optimize.passes.windows"):
        monkeypatch.setattr(import_module(module), "usual", lambda: empty)
    return learn(Toolchain().compile(SOURCE), 3, spread)


def test_learning_finds_the_same_however_it_is_spread(monkeypatch: pytest.MonkeyPatch, distributed: None) -> None:
    alone = _learnt(here, monkeypatch)
    assert alone
    assert _learnt(processes(2), monkeypatch) == alone
    with cluster("tcp://somewhere") as spread:
        assert _learnt(spread, monkeypatch) == alone


def test_no_scheduler_is_said_as_such(distributed: None) -> None:
    with pytest.raises(InputError, match="no cluster"), cluster("tcp://nobody"):
        pass


def test_a_missing_package_is_said_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError) as caught, cluster("tcp://somewhere"):
        pass
    assert "bpfsmith[cluster]" in caught.value.diagnostics[0].help
