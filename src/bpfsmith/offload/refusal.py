"""The advice that needs no measurement."""

from __future__ import annotations

from bpfsmith.diagnostic import ToolError


class DoNotOffload(ToolError):
    """There is nothing to gain, whatever the workload: exit status 1."""

    exit_code = 1
