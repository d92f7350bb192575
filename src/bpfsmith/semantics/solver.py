"""Asking the solvers: is a conjunction of conditions satisfiable? The only importer of z3 and bitwuzla.

Bitwuzla is asked first because it is several times faster on what is left after rewriting; what it does not answer soon goes to
z3, and what neither answers soon to both again, with more resources.
Both are limited in steps and not in seconds, so that verdicts do not depend on the machine's speed. A fresh solver context
serves each query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bpfsmith.semantics.terms import BOOL, Term, postorder

if TYPE_CHECKING:
    from bpfsmith.semantics.evaluate import Inputs

SolverName = Literal["auto", "bitwuzla", "z3"]


@dataclass(frozen=True, slots=True)
class Satisfiable:
    """A model: the value of every input that the query mentions, by (name, arguments); anything else is 0."""

    values: Mapping[tuple[str, tuple[int, ...]], int]
    solver: str

    def inputs(self) -> Inputs:
        return lambda name, width, args: self.values.get((name, args), 0)


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    solver: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Neither solver decided within its limit."""

    reason: str


Answer = Satisfiable | Unsatisfiable | NoAnswer


@dataclass(frozen=True, slots=True)
class Limits:
    """`bitwuzla_steps` is how often bitwuzla may ask whether to go on (10,000 to 40,000 times a second), `z3_rlimit` is z3's
    count of resources: both are the same on every machine."""

    bitwuzla_steps: int = 200_000
    z3_rlimit: int = 20_000_000
    solver: SolverName = field(default="auto")


FIRST_TRY = 10
"""Either solver gets this part of its limit before the other is asked: what is hard for one is often easy for the other."""

QUICK = Limits(bitwuzla_steps=4_000, solver="bitwuzla")
"""For the many small questions on the way, of which none has to be answered."""


def satisfiable(conditions: Iterable[Term], limits: Limits | None = None) -> Answer:
    """Can all `conditions` hold at once?"""
    limits = limits or Limits()
    roots = [condition for condition in conditions if not (condition.op == "truth" and condition.number)]
    if any(root.op == "truth" for root in roots):
        return Unsatisfiable("rewriting")
    if not roots:
        return Satisfiable({}, "rewriting")
    answer: Answer = NoAnswer("no solver was asked")
    for part in (FIRST_TRY, 1) if limits.solver == "auto" else (1,):
        if limits.solver != "z3":
            answer = _ask_bitwuzla(roots, limits.bitwuzla_steps // part)
        if limits.solver == "z3" or (limits.solver == "auto" and isinstance(answer, NoAnswer)):
            answer = _ask_z3(roots, limits.z3_rlimit // part)
        if not isinstance(answer, NoAnswer):
            break
    return answer


def _functions(order: list[Term]) -> set[str]:
    """Names of inputs that are applied to something that is not constant; all others become plain constants."""
    return {term.name for term in order if term.op == "app" and any(not arg.is_const for arg in term.args)}


def _constant_name(term: Term) -> str:
    return f"{term.name}({','.join(str(arg.number) for arg in term.args)}):{term.width}"


def _model(order: list[Term], value_of: Any) -> dict[tuple[str, tuple[int, ...]], int]:
    return {(t.name, tuple(value_of(arg) for arg in t.args)): value_of(t) for t in order if t.op == "app"}


# --- bitwuzla ---------------------------------------------------------------------------------------------------------
def _ask_bitwuzla(roots: list[Term], steps: int) -> Answer:
    import bitwuzla as bw

    manager = bw.TermManager()
    order = postorder(*roots)
    functions = _functions(order)
    kinds = {
        "and": bw.Kind.BV_AND, "or": bw.Kind.BV_OR, "xor": bw.Kind.BV_XOR, "add": bw.Kind.BV_ADD, "mul": bw.Kind.BV_MUL,
        "udiv": bw.Kind.BV_UDIV, "urem": bw.Kind.BV_UREM, "shl": bw.Kind.BV_SHL, "lshr": bw.Kind.BV_SHR,
        "ashr": bw.Kind.BV_ASHR, "concat": bw.Kind.BV_CONCAT, "ite": bw.Kind.ITE, "eq": bw.Kind.EQUAL,
        "ult": bw.Kind.BV_ULT, "slt": bw.Kind.BV_SLT, "not": bw.Kind.NOT, "conj": bw.Kind.AND, "disj": bw.Kind.OR,
    }  # fmt: skip

    def sort(width: int) -> Any:
        return manager.mk_bv_sort(width) if width else manager.mk_bool_sort()

    out: dict[Term, Any] = {}
    declared: dict[tuple[object, ...], Any] = {}
    for term in order:
        args = [out[arg] for arg in term.args]
        match term.op:
            case "const":
                out[term] = manager.mk_bv_value(sort(term.width), term.number)
            case "truth":
                out[term] = manager.mk_true() if term.number else manager.mk_false()
            case "app" if term.args and term.name in functions:
                key = (term.name, term.width, *(arg.width for arg in term.args))
                if key not in declared:
                    domain = [sort(arg.width) for arg in term.args]
                    declared[key] = manager.mk_const(manager.mk_fun_sort(domain, sort(term.width)), term.name)
                out[term] = manager.mk_term(bw.Kind.APPLY, [declared[key], *args])
            case "app":
                out[term] = manager.mk_const(sort(term.width), _constant_name(term))
            case "extract":
                out[term] = manager.mk_term(bw.Kind.BV_EXTRACT, args, [term.number + term.width - 1, term.number])
            case "sext":
                out[term] = manager.mk_term(bw.Kind.BV_SIGN_EXTEND, args, [term.width - term.args[0].width])
            case _:
                out[term] = manager.mk_term(kinds[term.op], args)
    options = bw.Options()
    options.set(bw.Option.PRODUCE_MODELS, True)
    solver = bw.Bitwuzla(manager, options)
    left, raised = iter(range(steps)), []

    def stop() -> bool:
        # What a signal handler raises in here would be printed and forgotten by the solver's C++: it is kept for later.
        try:
            return next(left, None) is None
        except BaseException as error:  # noqa: BLE001
            raised.append(error)
            return True

    solver.configure_terminator(stop)
    for root in roots:
        solver.assert_formula(out[root])
    result = solver.check_sat()
    if raised:
        raise raised[0]
    if result == bw.Result.UNSAT:
        return Unsatisfiable("bitwuzla")
    if result != bw.Result.SAT:
        return NoAnswer(f"bitwuzla gave up after {steps:,} steps")

    def value_of(term: Term) -> int:
        if term.is_const:
            return term.number
        value = solver.get_value(out[term]).value()
        return int(value) if isinstance(value, bool) else int(str(value), 2)

    return Satisfiable(_model(order, value_of), "bitwuzla")


# --- z3 ---------------------------------------------------------------------------------------------------------------


def _ask_z3(roots: list[Term], rlimit: int) -> Answer:
    import z3

    context = z3.Context()
    order = postorder(*roots)
    functions = _functions(order)

    def sort(width: int) -> Any:
        return z3.BitVecSort(width, context) if width else z3.BoolSort(context)

    binary = {
        "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "add": lambda a, b: a + b,
        "mul": lambda a, b: a * b, "udiv": z3.UDiv, "urem": z3.URem, "shl": lambda a, b: a << b, "lshr": z3.LShR,
        "ashr": lambda a, b: a >> b, "concat": z3.Concat, "eq": lambda a, b: a == b, "ult": z3.ULT, "slt": lambda a, b: a < b,
    }  # fmt: skip
    out: dict[Term, Any] = {}
    declared: dict[tuple[object, ...], Any] = {}
    for term in order:
        args = [out[arg] for arg in term.args]
        match term.op:
            case "const":
                out[term] = z3.BitVecVal(term.number, term.width, context)
            case "truth":
                out[term] = z3.BoolVal(bool(term.number), context)
            case "app" if term.args and term.name in functions:
                key = (term.name, term.width, *(arg.width for arg in term.args))
                if key not in declared:
                    domain = [sort(arg.width) for arg in term.args]
                    declared[key] = z3.Function("/".join(map(str, key)), *domain, sort(term.width))
                out[term] = declared[key](*args)
            case "app":
                out[term] = z3.Const(_constant_name(term), sort(term.width))
            case "extract":
                out[term] = z3.Extract(term.number + term.width - 1, term.number, args[0])
            case "sext":
                out[term] = z3.SignExt(term.width - term.args[0].width, args[0])
            case "ite":
                out[term] = z3.If(*args)
            case "not":
                out[term] = z3.Not(args[0])
            case "conj":
                out[term] = z3.And(*args)
            case "disj":
                out[term] = z3.Or(*args)
            case _:
                value = args[0]
                for arg in args[1:]:
                    value = binary[term.op](value, arg)
                out[term] = value
    solver = z3.SolverFor("QF_UFBV" if functions else "QF_BV", ctx=context)
    solver.set("rlimit", rlimit)
    for root in roots:
        solver.add(out[root])
    result = solver.check()
    if result == z3.unsat:
        return Unsatisfiable("z3")
    if result != z3.sat:
        if solver.reason_unknown() == "interrupted from keyboard":  # z3 takes Ctrl-C for itself while it works
            raise KeyboardInterrupt
        return NoAnswer(f"z3 gave up at its resource limit of {rlimit:,} ({solver.reason_unknown()})")
    model = solver.model()

    def value_of(term: Term) -> int:
        value = model.eval(out[term], model_completion=True)
        return int(z3.is_true(value)) if term.width == BOOL else int(value.as_long())

    return Satisfiable(_model(order, value_of), "z3")
