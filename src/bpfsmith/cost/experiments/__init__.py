"""Every experiment, in the order in which they run."""

from __future__ import annotations

from bpfsmith.cost.experiment import Experiment
from bpfsmith.cost.experiments import hooks, insns, maps, packets, programs, train, userspace

EXPERIMENTS: tuple[Experiment, ...] = (
    *hooks.EXPERIMENTS, *packets.EXPERIMENTS, *maps.EXPERIMENTS, *userspace.EXPERIMENTS, *programs.EXPERIMENTS,
    *insns.EXPERIMENTS, *train.EXPERIMENTS,
)  # fmt: skip

TABLES: tuple[str, ...] = (
    "hooks", "maps", "user", "chain", "copy", "complexity", "channels", "isolation", "helpers", "tracing", "insns",
)  # fmt: skip


def of_tables(tables: tuple[str, ...]) -> tuple[Experiment, ...]:
    """The experiments of these tables; KeyError for a table that there is not."""
    for table in tables:
        if table not in TABLES:
            raise KeyError(table)
    return tuple(item for table in TABLES if table in tables for item in EXPERIMENTS if item.table == table)
