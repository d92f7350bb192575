"""`pairs`: the pairs of objects as a table and as JSON, and fused objects with their proofs."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bpfsmith.cost.profile import Profile, load_profile
from bpfsmith.diagnostic import Diagnostic, InputError, Severity, ToolError
from bpfsmith.kernel.images import VERSION
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.report import Outcome, Report
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.trace import against
from bpfsmith.trace import fuse as fusing
from bpfsmith.trace.forms import Form, Judged, Kernel, hooks_ns, judge, kernel_of, nearest, running_kernel
from bpfsmith.trace.loader import loader_header
from bpfsmith.trace.pairs import find_pairs
from bpfsmith.trace.specialise import known_of
from bpfsmith.workflow.inputs import Toolchain, can_bpf_here, write_output
from bpfsmith.workflow.kernels import HOST
from bpfsmith.workflow.optimizing import object_bytes

Say = Callable[[str], None]


def kernel_named(name: str) -> Kernel:
    """The features of `host` or of a version such as "6.12". InputError `bad-kernel-version`."""
    if name == HOST:
        return running_kernel(platform.release())
    if not VERSION.fullmatch(name):
        raise InputError(
            Diagnostic(
                "bad-kernel-version", f"`{name}` is not a kernel version", help="write `--kernel host` or `--kernel 6.12`"
            )
        )
    return kernel_of(name)


def _objects(names: Sequence[str]) -> list[Path]:
    """The objects that files and directories stand for. InputError where there is none."""
    found = []
    for name in names:
        path = Path(name)
        found += sorted(item for item in path.rglob("*.o") if item.is_file()) if path.is_dir() else [path]
    if not found:
        raise InputError(
            Diagnostic("no-program", f"{', '.join(names)} holds no object", help="name a .bpf.o, or a directory of such")
        )
    return found


def _opened(path: Path) -> Object:
    return replace(read_object(object_bytes(str(path), Toolchain())), path=str(path))


# --- finding ----------------------------------------------------------------------------------------------------------
def find_report(names: Sequence[str], kernel_name: str, say: Say, *, uprobes: bool = False) -> Report:
    """The pairs of every object; one that cannot be read is a diagnostic where there are others."""
    kernel, pairs, said = kernel_named(kernel_name), [], []
    files = _objects(names)
    for path in files:
        say(f"reading {path}")
        try:
            found = find_pairs(_opened(path), uprobes=uprobes)
        except ToolError as error:
            if len(files) == 1:
                raise
            said += list(error.diagnostics)
            continue
        pairs += [_pair_json(str(path), judge(pair, found, kernel)) for pair in found.pairs]
    details = {"kernel": kernel.name, "files": len(files), "pairs": pairs}
    return Report("pairs", Outcome.DONE, diagnostics=tuple(said), details=details)


@cache
def _profile() -> Profile:
    return load_profile()


def _pair_json(path: str, judged: Judged) -> dict[str, object]:
    pair = judged.pair
    saved = hooks_ns(pair, _profile())
    return {
        "file": path,
        "entry": pair.entry.program.name,
        "exit": pair.exit.program.name,
        "entry_section": pair.entry.program.section,
        "exit_section": pair.exit.program.section,
        "kind": str(pair.kind),
        "maps": [
            {
                "name": item.spec.name,
                "type": item.spec.type,
                "key_class": str(item.key_class),
                "key_size": item.spec.key_size,
                "value_size": item.spec.value_size,
                "private": item.private,
                "used_by_others": list(item.others),
            }
            for item in pair.maps
        ],
        "checks_twice": list(pair.checks_twice),
        "attach_constants": list(pair.attach_constants),
        "notes": list(pair.notes),
        "nearest_to_inlining": nearest(pair),
        "inlining_saves_ns": saved,
        "forms": [str(form) for form in judged.allowed],
        "refused": [{"form": str(form), "reason": reason} for form, reason in judged.refused],
    }


# --- fusing -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Fused:
    """A file and what became of its pairs."""

    path: Path
    made: fusing.FusedObject

    @property
    def changed(self) -> bool:
        """Is the object another one than the file?"""
        return any(outcome.form is not None or _folded(outcome) for outcome in self.made.outcomes)

    @property
    def loader(self) -> str:
        """What changes for the program that loads it, as C for libbpf."""
        return loader_header(self.path.name, self.made.outcomes)


@dataclass(frozen=True, slots=True)
class Fusion:
    """The files with pairs, fused for a kernel; `said` is of files without, and of those that cannot be read. `several`: files
    or a directory were named, so that objects go into a directory."""

    kernel: Kernel
    files: tuple[Path, ...]
    fused: tuple[Fused, ...]
    said: tuple[Diagnostic, ...]
    several: bool

    @property
    def data(self) -> bytes | None:
        """The fused object, where one file was named and it is another one now."""
        return self.fused[0].made.data if not self.several and self.fused and self.fused[0].changed else None

    def write(self, output: str, loader: str | None = None) -> None:
        """Writes each object that changed to the file, or into the directory, `output`. InputError `unwritable-output`."""
        if self.several:
            Path(output).mkdir(parents=True, exist_ok=True)
        changed = [item for item in self.fused if item.changed]
        for item in changed:
            target = str(Path(output) / item.path.name) if self.several else output
            write_output(target, item.made.data, inputs=[str(item.path)])
        if loader:
            text = "\n".join(item.loader for item in changed)
            write_output(loader, text.encode(), inputs=[str(path) for path in self.files])

    def report(self, output: str | None) -> Report:
        """The envelope; `output` is where the objects went."""
        pairs = [_outcome_json(str(item.path), outcome) for item in self.fused for outcome in item.made.outcomes]
        fused = sum(pair["form"] is not None for pair in pairs)
        written = any(item.changed for item in self.fused)
        details = {
            "kernel": self.kernel.name, "files": len(self.files), "output": output if written else None, "fused": fused,
            "pairs": pairs,
        }  # fmt: skip
        assumed = tuple(dict.fromkeys(text for pair in pairs for text in _texts(pair["assumptions"])))
        unproved = any(pair["proof"] == "unknown" for pair in pairs)
        proved = fused or written  # what is set may have been folded into pairs that keep their form
        outcome = Outcome.DONE if not pairs else Outcome.EQUAL if proved and not unproved else Outcome.UNKNOWN
        return Report("pairs", outcome, assumptions=assumed, diagnostics=self.said, details=details)


def fuse(
    names: Sequence[str],
    kernel_name: str,
    forms: Sequence[str],
    say: Say,
    *,
    allow_unknown: bool = False,
    uprobes: bool = False,
    settings: Sequence[str] = (),
) -> Fusion:
    """Each pair in its best form, proved; nothing is written. ToolError where the one file that is named cannot be fused."""
    kernel, files = kernel_named(kernel_name), _objects(names)
    several = len(files) > 1 or Path(names[0]).is_dir()
    only = frozenset(Form(form) for form in forms) or frozenset(fusing.MADE)
    fused, said = [], []
    for path in files:
        say(f"fusing {path}")
        try:
            data = object_bytes(str(path), Toolchain())
            made = fusing.fuse(
                data,
                str(path),
                kernel,
                here=kernel_name == HOST and can_bpf_here(),
                only=only,
                allow_unknown=allow_unknown,
                uprobes=uprobes,
                known=known_of(replace(read_object(data), path=str(path)), settings),
                progress=say,
            )
        except ToolError as error:
            if not several:
                raise
            said += list(error.diagnostics)
            continue
        if made.outcomes:
            fused.append(Fused(path, made))
        else:
            said.append(_no_pairs(path))
    return Fusion(kernel, tuple(files), tuple(fused), tuple(said), several)


def _no_pairs(path: Path) -> Diagnostic:
    return Diagnostic(
        "no-pairs",
        f"{path} holds no entry and exit that share state",
        severity=Severity.WARNING,
        help="`bpfsmith disasm` shows what its programs do",
    )


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _outcome_json(path: str, outcome: fusing.Outcome) -> dict[str, object]:
    verdict = outcome.verdict
    return {
        **_pair_json(path, outcome.judged),
        "form": str(outcome.form) if outcome.form is not None else None,
        "proof": _verdict_json(verdict)["verdict"] if verdict is not None else None,
        "unknown": _verdict_json(verdict)["detail"] if isinstance(verdict, Unknown) else None,
        "assumptions": list(verdict.assumptions) if isinstance(verdict, Equal) else [],
        "evidence": list(verdict.evidence) if isinstance(verdict, Equal) else [],
        "verifier": outcome.loaded,
        "specialised": _special_json(outcome.special),
        "put_aside": [{"form": str(form), "reason": reason} for form, reason in outcome.put_aside],
    }


def _folded(outcome: fusing.Outcome) -> bool:
    return outcome.special is not None and not outcome.special.reason


def _special_json(special: fusing.Special | None) -> dict[str, object] | None:
    if special is None:
        return None
    return {
        "slots_before": special.slots_before,
        "slots_after": special.slots_after,
        "checks_removed": special.checks_removed,
        "reason": special.reason,
    }


# --- comparing --------------------------------------------------------------------------------------------------------
def against_report(reference: str, other: str) -> Report:
    """Whether the sessions of another object are the pairs of this one."""
    found = list(against.compared(_opened(Path(reference)), _opened(Path(other))))
    verdicts = [verdict for _, verdict in found]
    outcome = Outcome.UNKNOWN if not found else Outcome.EQUAL
    if any(isinstance(verdict, Unknown) for verdict in verdicts):
        outcome = Outcome.UNKNOWN
    if any(isinstance(verdict, Different) for verdict in verdicts):
        outcome = Outcome.DIFFERENT
    compared = [{"pair": pair.name, **_verdict_json(verdict)} for pair, verdict in found]
    assumed = tuple(dict.fromkeys(text for verdict in verdicts if isinstance(verdict, Equal) for text in verdict.assumptions))
    return Report("pairs", outcome, assumptions=assumed, details={"reference": reference, "other": other, "compared": compared})


def _verdict_json(verdict: Verdict) -> dict[str, object]:
    match verdict:
        case Equal():
            return {"verdict": "equal", "detail": ""}
        case Unknown(gap=gap, detail=detail):
            return {"verdict": "unknown", "detail": f"{gap}: {detail}"}
        case Different(counterexample=example):
            return {"verdict": "different", "detail": f"they differ in the {example.observable}"}


# --- for a terminal ---------------------------------------------------------------------------------------------------
def lines(report: Report, concise: bool = False) -> Iterator[str]:
    """A table by file; under each pair what is known of it and why there is no better form."""
    compared = report.details.get("compared")
    if isinstance(compared, list):
        for item in compared:
            yield f"{item['pair']}: {item['verdict']}{': ' * bool(item['detail'])}{item['detail']}"
        yield from (f"{'assuming' if index == 0 else '':<9}{text}" for index, text in enumerate(report.assumptions))
        return
    pairs = report.details["pairs"]
    assert isinstance(pairs, list)
    fused = "fused" in report.details
    before = None
    for pair in pairs:
        if pair["file"] != before:
            before = pair["file"]
            yield f"{before}:" if concise else f"{before}"
        yield from _pair_lines(pair, fused, concise)
    files = report.details["files"]
    with_pairs = len({pair["file"] for pair in pairs})
    yield f"{len(pairs)} pair{'s' * (len(pairs) != 1)} in {with_pairs} of {files} file{'s' * (files != 1)}"
    if fused:
        yield f"fused {report.details['fused']} of them for kernel {report.details['kernel']}"
        if report.details["output"]:
            yield f"wrote {report.details['output']}"
        if not concise:
            for index, text in enumerate(report.assumptions):
                yield f"{'assuming' if index == 0 else '':<9}{text}"


def _pair_lines(pair: Mapping[str, object], fused: bool, concise: bool) -> Iterator[str]:
    maps = pair["maps"]
    assert isinstance(maps, list)
    state = "; ".join(
        f"{item['name']} by {item['key_class']}, {item['value_size']} bytes{', private' * item['private']}" for item in maps
    )
    title = f"  {pair['entry']} -> {pair['exit']}  ({pair['kind']})"
    if concise:
        yield f"{title}  {pair['form'] if fused else ', '.join(_texts(pair['forms'])) or 'as it is'}"
        return
    yield title
    yield f"      state     {state}"
    if pair["checks_twice"]:
        yield f"      twice     both halves read {', '.join(_texts(pair['checks_twice']))}"
    if pair["attach_constants"]:
        yield f"      attach    {', '.join(_texts(pair['attach_constants']))}"
    for note in _texts(pair["notes"]):
        yield f"      note      {note}"
    if fused:
        yield f"      form      {pair['form'] or 'as it was'}"
        if pair["form"]:
            gap = f" ({pair['unknown']})" if pair["unknown"] else ""
            yield f"      proof     {pair['proof']}{gap}; verifier: {pair['verifier']}"
        yield from _special_lines(pair["specialised"])
        yield from _reasons("aside", pair["put_aside"])
    else:
        yield f"      forms     {', '.join(_texts(pair['forms'])) or 'none but as it is'}"
        yield f"      nearest   {pair['nearest_to_inlining']}"
        if pair["inlining_saves_ns"]:
            yield f"      inlining  would save the hooks: some {pair['inlining_saves_ns']:,.0f} ns a call by the cost profile"
    if not fused or not pair["form"]:
        yield from _reasons("not", pair["refused"])


def _special_lines(special: object) -> Iterator[str]:
    if not isinstance(special, dict):
        return
    if special["reason"]:
        yield f"      general   what is set was not folded in: {special['reason']}"
        return
    count = special["checks_removed"]
    twice = f"; {count} question{'s' * (count != 1)} of the way out that the way in had asked" if count else ""
    yield f"      set       {special['slots_before']} -> {special['slots_after']} slots{twice}"


def _reasons(label: str, rows: object) -> Iterator[str]:
    assert isinstance(rows, list)
    for row in rows:
        yield f"      {label:<10}{row['form']}: {row['reason']}"
