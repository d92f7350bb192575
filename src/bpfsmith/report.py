"""What a command found, as data: one envelope for every command, which the renderers and `--output-format json` print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bpfsmith.diagnostic import Diagnostic


class Outcome(StrEnum):
    """The verdict of a whole command, which decides its exit status."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DONE = "done"
    PAYS = "pays"
    DOES_NOT_PAY = "do-not-offload"

    @property
    def exit_code(self) -> int:
        """0 it holds, 1 it does not, 3 unknown."""
        match self:
            case Outcome.EQUAL | Outcome.ACCEPTED | Outcome.DONE | Outcome.PAYS:
                return 0
            case Outcome.DIFFERENT | Outcome.REJECTED | Outcome.DOES_NOT_PAY:
                return 1
            case Outcome.UNKNOWN:
                return 3


@dataclass(frozen=True, slots=True)
class ProgramReport:
    """One program: sizes, the verifier's work, the time of a run. None: not known (no bpf(2) here, or not asked for).

    `insns` counts the object's, a wide insn once; `xlated_slots` the kernel's image after the verifier, 8 bytes a slot;
    `jited_insns` native instructions. `run_ns` is the least mean of many rounds, the floor still in it; `floor_ns` is that of
    an empty program measured in the same rounds. `kernel` is set where the verdict is not (only) the running kernel's, `cpu`
    the -mcpu where several were tried. `attached` says how a guest attached the program, and `runs` how often it then ran.
    """

    name: str
    section: str
    insns: int
    verdict: str | None = None
    xlated_slots: int | None = None
    jited_bytes: int | None = None
    jited_insns: int | None = None
    processed_insns: int | None = None
    states: int | None = None
    peak_states: int | None = None
    stack_depth: int | None = None
    load_ms: float | None = None
    run_ns: float | None = None
    run_spread_ns: float | None = None
    floor_ns: float | None = None
    reason: str | None = None
    file: str | None = None
    max_states_per_insn: int | None = None
    kernel: str | None = None
    cpu: str | None = None
    attached: str | None = None
    runs: int | None = None

    def json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Report:
    """The envelope. `counterexample` is in its JSON form, `details` what the command adds."""

    command: str
    verdict: Outcome
    assumptions: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    unknown: str | None = None  # "gap: detail" of an Unknown
    counterexample: Mapping[str, object] | None = None
    programs: tuple[ProgramReport, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    def json(self, version: str) -> dict[str, object]:
        return {
            "version": version,
            "command": self.command,
            "verdict": str(self.verdict),
            "assumptions": list(self.assumptions),
            "evidence": list(self.evidence),
            "unknown": self.unknown,
            "counterexample": self.counterexample,
            "programs": [program.json() for program in self.programs],
            "diagnostics": [diagnostic.json() for diagnostic in self.diagnostics],
            **self.details,
        }
