"""An object made better: every function improved, every program that it is part of proved and loaded, and the object written.

    improve      each function by itself: passes, simulation proof                 (improve.py)
    load         each program with its functions replaced, by this kernel's verifier
    prove        each program as a whole, by the equivalence engine, where it covers it
    compare      never worse under the objective

A function that a judge does not like loses the steps that are to blame, found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from bpfsmith.diagnostic import KernelError, ToolError
from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.gate.load import insn_count, outcome_report
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.context import FieldKind
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import Program, Subprogram
from bpfsmith.isa.progtype import ProgramType, for_section, section_before_libbpf_1
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.probe import Available, can_bpf
from bpfsmith.objfile.code import Function
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.objfile.writer import NewCode, rewrite
from bpfsmith.optimize.cache import usual
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.improve import MAX_LEFT_OUT, Effort, Improved, improve, restricted
from bpfsmith.optimize.ledger import Step
from bpfsmith.optimize.parameters import parameters
from bpfsmith.optimize.spread import Spread, here, processes
from bpfsmith.packet.build import udp_packet
from bpfsmith.report import ProgramReport
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict

ROUNDS, REPEAT = 30, 2_000
DEFAULT_BUDGET = 60
"""Seconds that the proof of one whole program may take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`objective` is what must not get worse; `budget` seconds are given to the search for steps in each function, and to the
    whole-program proof of each program; `programs` names those to be optimised (empty: all)."""

    objective: str = "insns"
    budget: int = DEFAULT_BUDGET
    jobs: int = 1
    programs: tuple[str, ...] = ()
    timed: bool = True
    cpu: int = 3
    patience: int = MAX_LEFT_OUT  # steps without a proof that are looked for and left out
    atomics: bool = False  # a load, an addition and a store may become one atomic addition
    quick: bool = False  # for a caller that proves the whole and measures by itself: the verifier is asked, no more

    @property
    def effort(self) -> Effort:
        return Effort(self.patience, None if self.quick else self.budget)


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """One program before and after. `verdict` is that of the whole-program proof; the simulation proof of each of its functions
    holds in any case. `judged` says whether the kernel's verifier could be asked."""

    before: ProgramReport
    after: ProgramReport
    verdict: Verdict
    functions: tuple[Improved, ...]
    judged: str
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for function in self.functions for step in function.steps)


@dataclass(frozen=True, slots=True)
class Optimized:
    """The new object's bytes, and what became of each program."""

    data: bytes
    programs: tuple[ProgramResult, ...]
    functions: Mapping[str, Improved] = field(default_factory=dict)


Progress = Callable[[str], None]


def optimize(data: bytes, path: str, settings: Settings, progress: Progress = lambda text: None) -> Optimized:
    """Optimises the programs of an object. InputError for what is no object, or has no program of a wanted name."""
    obj = read_object(data)
    obj = replace(obj, programs=tuple(_usual(program) for program in obj.programs))
    programs = [obj.program(name) for name in settings.programs] if settings.programs else list(obj.programs)
    around = surroundings(obj, settings.cpu, settings.atomics)
    names = list(dict.fromkeys(name for program in programs for name in _functions_of(program)))
    improved = _improve_all(obj, names, around, settings, progress)
    session = _Session(obj, around, improved, settings)
    for program in programs:
        progress(f"loading {program.name}")
        session.verify(program)
    if len(programs) > 1:
        session.agree(programs)
    verdicts = _prove_all(session, programs, settings, progress)
    for program in programs:
        session.settle_proof(program, verdicts[program.name])
        session.settle_objective(program)
    if len(programs) > 1:
        session.agree(programs)
    # What another program's judges took back is proved in the form that it has now.
    verdicts = {**verdicts, **_prove_all(session, [item for item in programs if session.moved(item)], settings, progress)}
    results = tuple(session.result(program, verdicts[program.name]) for program in programs)
    changes = {name: item.code for name, item in session.improved.items() if item.code is not None}
    return Optimized(rewrite(data, changes, path), results, session.improved)


def _usual(program: Program) -> Program:
    """The program in a section of today's libbpf, so that it can be loaded and proved; the object keeps the name it has."""
    return replace(program, section=section_before_libbpf_1(program.section))


def surroundings(obj: Object, cpu: int = 3, atomics: bool = False) -> dict[str, Surroundings]:
    """What each function's code depends on, by name."""
    maps = {spec.name: spec for spec in obj.maps}
    types = {program.name: _type_of(program.section) for program in obj.programs}
    layouts = [item.context for item in types.values() if item is not None]
    narrow = frozenset(item.offset for layout in layouts for item in layout if item.kind is not FieldKind.SCALAR)
    base = Surroundings(
        maps=maps, parameters=parameters(obj), cpu=cpu, narrow_pointers=narrow, is_program=False, atomics=atomics
    )
    return {name: _surroundings_of(base, types, name) for name in obj.functions}


def _surroundings_of(base: Surroundings, types: Mapping[str, ProgramType | None], name: str) -> Surroundings:
    if name not in types:
        return base
    kind = types[name]
    if kind is None:
        return replace(base, is_program=True, context_known=False)
    bits = 64 if kind.name in _WHOLE_RESULTS or kind.section.startswith("fmod_ret") else 32
    return replace(base, is_program=True, context=kind.context, result_bits=bits)


_WHOLE_RESULTS = frozenset({"BPF_PROG_TYPE_STRUCT_OPS", "BPF_PROG_TYPE_EXT", "BPF_PROG_TYPE_LSM"})
"""Program types whose result may stand for that of a kernel function, with all its bits. Others give a u32 (bpf_prog_run)."""


def _type_of(section: str) -> ProgramType | None:
    try:
        return for_section(section)
    except ToolError:  # no section that libbpf knows
        return None


def _functions_of(program: Program) -> list[str]:
    return [program.name, *(sub.name for sub in program.subprograms)]


def _improve_all(
    obj: Object, names: list[str], around: Mapping[str, Surroundings], settings: Settings, progress: Progress
) -> dict[str, Improved]:
    done: dict[str, Improved] = {}
    work = [(obj.functions[name], around[name], settings.effort) for name in names]
    for name, (result, found) in zip(names, processes(settings.jobs)(_improve_one, work), strict=True):
        done[name] = result
        usual().fresh.update(found)
        progress(f"{name}: {result.slots_before} -> {result.slots_after} slots")
    return done


def _improve_one(work: tuple[Function, Surroundings, Effort]) -> tuple[Improved, dict[str, str]]:
    """The function, and what was found by search in this process, which may be a child."""
    return improve(*work), dict(usual().fresh)


def learn(data: bytes, cpu: int, spread: Spread = here) -> dict[str, str]:
    """What searches over the windows of an object find, without writing one: window -> shorter form."""
    obj = read_object(data)
    around = surroundings(obj, cpu)
    work = [(function, around[name], Effort()) for name, function in obj.functions.items() if not function.problems]
    found: dict[str, str] = {}
    for _, fresh in spread(_improve_one, work):
        found.update(fresh)
    return found


@dataclass(slots=True)
class _Session:
    """The functions as they stand, and the judges that have a say."""

    obj: Object
    around: Mapping[str, Surroundings]
    improved: dict[str, Improved]
    settings: Settings
    loadable: bool = field(default_factory=lambda: isinstance(can_bpf(), Available))
    judged: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    proved: dict[str, Program] = field(default_factory=dict)

    def moved(self, program: Program) -> bool:
        """Is the candidate another one than was proved?"""
        return self.proved.get(program.name) != self.candidate(program)

    def agree(self, programs: list[Program]) -> None:
        """A subprogram that one program could not use has changed for all: every program must load with what there is now."""
        changed = True
        while changed:
            changed = False
            for program in programs:
                if not self.accepted(program):
                    self.give_up(program, "the verifier accepts no combination with the other programs")
                    changed = True

    def candidate(self, program: Program, other: Mapping[str, NewCode | None] | None = None) -> Program:
        """The program with its functions as they are now, or as `other` says."""
        codes: dict[str, NewCode | None] = {name: item.code for name, item in self.improved.items()}
        codes.update(other or {})

        def insns(name: str, old: tuple[Insn, ...]) -> tuple[Insn, ...]:
            code = codes.get(name)
            return code.insns if code is not None else old

        subs = tuple(Subprogram(sub.name, insns(sub.name, sub.insns), sub.is_global) for sub in program.subprograms)
        return replace(program, insns=insns(program.name, program.insns), subprograms=subs)

    def object_of(self, program: Program, other: Mapping[str, NewCode | None] | None = None) -> Object:
        """The object that `candidate` comes from: its relocations are where the new code has them."""
        codes: dict[str, NewCode | None] = {name: item.code for name, item in self.improved.items()}
        codes.update(other or {})
        functions = dict(self.obj.functions)
        for name in _functions_of(program):
            code = codes.get(name)
            if code is not None:
                functions[name] = replace(functions[name], insns=code.insns, core_relos=code.core_relos)
        return replace(self.obj, functions=functions)

    def accepted(self, program: Program, other: Mapping[str, NewCode | None] | None = None) -> bool:
        if self.judged.get(program.name, "").startswith("not asked") or not self.loadable:
            return True
        obj = self.object_of(program, other)
        with open_maps(program, obj=obj) as maps, load(self.candidate(program, other), maps) as outcome:
            return isinstance(outcome, Accepted)

    def verify(self, program: Program) -> None:
        """The kernel's verifier accepts the program, or the functions that are to blame lose the steps that are."""
        if not self.loadable:
            self.judged[program.name] = "not asked: bpf(2) is not available here"
            return
        original: dict[str, NewCode | None] = dict.fromkeys(_functions_of(program))
        try:
            with open_maps(program, obj=self.obj) as maps, load(program, maps) as outcome:
                refusal = None if isinstance(outcome, Accepted) else outcome.reason
        except ToolError as error:
            refusal = error.diagnostics[0].message
        if refusal is not None:
            self.judged[program.name] = f"not asked: the input itself does not load here ({refusal})"
            return
        self.judged[program.name] = "accepted"
        for name in _functions_of(program):
            if self.accepted(program):
                return
            # This function changed, those not looked at yet as they came.
            later = {other: None for other in original if other not in (name, *self._before(program, name))}
            judge = partial(self._accepted_with, program, later, name)
            self.improved[name] = restricted(self.improved[name], self.around[name], judge, "verifier", self.settings.effort)
        if not self.accepted(program):
            self.give_up(program, "the verifier accepts no combination")

    def _accepted_with(self, program: Program, other: Mapping[str, NewCode | None], name: str, code: NewCode) -> bool:
        return self.accepted(program, {**other, name: code})

    @staticmethod
    def _before(program: Program, name: str) -> list[str]:
        names = _functions_of(program)
        return names[: names.index(name)]

    def give_up(self, program: Program, why: str) -> None:
        for name in _functions_of(program):
            item = self.improved[name]
            self.improved[name] = replace(item, code=None, slots_after=item.slots_before, steps=(), reason=why, pairs=0)

    def settle_proof(self, program: Program, verdict: Verdict) -> None:
        """A program that the engine can tell from the original stays as it was: one of the two proofs is wrong."""
        if isinstance(verdict, Different):
            self.notes.setdefault(program.name, []).append("the engine finds a difference: left as it was")
            self.give_up(program, "the engine finds a difference")

    def settle_objective(self, program: Program) -> None:
        """A program that got worse under the objective loses the steps that are to blame, or stays as it was."""
        if self.settings.objective == "insns" or self.judged.get(program.name) != "accepted":
            return
        words = f"worse under the objective {self.settings.objective}"
        for name in _functions_of(program):
            if not self._is_worse(program):
                return
            later: dict[str, NewCode | None] = dict.fromkeys(set(_functions_of(program)) - {name, *self._before(program, name)})
            judge = partial(self._is_no_worse_with, program, later, name)
            self.improved[name] = restricted(self.improved[name], self.around[name], judge, words, self.settings.effort)
        if self._is_worse(program):
            self.notes.setdefault(program.name, []).append(f"{words}: left as it was")
            self.give_up(program, words)

    def _is_no_worse_with(self, program: Program, other: Mapping[str, NewCode | None], name: str, code: NewCode) -> bool:
        whole = {**other, name: code}
        return self.accepted(program, whole) and not self._is_worse(program, whole)

    def _is_worse(self, program: Program, other: Mapping[str, NewCode | None] | None = None) -> bool:
        before, after = self._measured(program, self.settings.objective == "ns", other)
        match self.settings.objective:
            case "jited":
                return (after.jited_bytes or 0) > (before.jited_bytes or 0)
            case "verifier":
                return (after.processed_insns or 0, after.states or 0) > (before.processed_insns or 0, before.states or 0)
            case "ns":
                return (after.run_ns or 0) - (before.run_ns or 0) > max(after.run_spread_ns or 0, before.run_spread_ns or 0)
            case _:
                return False

    def result(self, program: Program, verdict: Verdict) -> ProgramResult:
        functions = tuple(self.improved[name] for name in _functions_of(program))
        before, after = self._measured(program, self.settings.timed)
        return ProgramResult(
            before, after, verdict, functions, self.judged.get(program.name, ""), tuple(self.notes.get(program.name, ()))
        )

    def _measured(
        self, program: Program, timed: bool, other: Mapping[str, NewCode | None] | None = None
    ) -> tuple[ProgramReport, ProgramReport]:
        """Counts of both, and times of both measured in the same rounds, on a UDP packet."""
        candidate = self.candidate(program, other)
        if self.judged.get(program.name) != "accepted" or self.settings.quick:
            before, after = (ProgramReport(item.name, item.section, insn_count(item)) for item in (program, candidate))
            return before, after
        with (
            open_maps(program, obj=self.obj) as maps,
            open_maps(program, obj=self.object_of(program, other)) as others,
            load(program, maps) as first,
            load(candidate, others) as second,
        ):
            before, after = outcome_report(program, first), outcome_report(candidate, second)
            if not timed or not isinstance(first, Accepted) or not isinstance(second, Accepted):
                return before, after
            try:
                measured = testrun.measure([first, second], udp_packet(b"request"), rounds=ROUNDS, repeat=REPEAT)
            except KernelError:  # this program type has no test run
                return before, after
        times = [
            replace(report, run_ns=timing.min_ns, run_spread_ns=timing.spread_ns, floor_ns=measured.floor.min_ns)
            for report, timing in zip((before, after), measured.programs, strict=True)
        ]
        return times[0], times[1]


# --- proofs -----------------------------------------------------------------------------------------------------------
def _prove_all(session: _Session, programs: list[Program], settings: Settings, progress: Progress) -> dict[str, Verdict]:
    if settings.quick:
        return {program.name: Unknown("not-asked", "the caller proves the program") for program in programs}
    work = [(program, session.candidate(program), settings.budget) for program in programs]
    session.proved.update((program.name, candidate) for program, candidate, _ in work)
    out: dict[str, Verdict] = {}
    for program, verdict in zip(programs, processes(settings.jobs)(_prove_one, work), strict=True):
        out[program.name] = verdict
        progress(f"{program.name}: {type(verdict).__name__.lower()}")
    return out


def _prove_one(work: tuple[Program, Program, int]) -> Verdict:
    program, candidate, budget = work
    if candidate == program:
        return Equal((), ("the code is the same",))
    try:
        with at_most(budget):
            verdict = prove_equal(program, None, candidate, None, replay=False)
            if isinstance(verdict, Different) and isinstance(
                prove_equal(program, None, program, None, replay=False), Different
            ):
                return Unknown("undefined-input", "the result depends on memory that the program does not initialise")
            return verdict
    except ToolError as error:  # a section that no hook is known for, code that the engine cannot read
        return Unknown(error.diagnostics[0].id, error.diagnostics[0].message)
    except TimeUp:
        return Unknown("time-limit", f"no proof of the whole within {budget} s")
