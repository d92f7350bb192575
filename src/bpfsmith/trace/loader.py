"""What a fused object asks of the program that loads it, as a small C header for libbpf."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bpfsmith.semantics.verdict import Equal
from bpfsmith.trace.forms import Form, state_map
from bpfsmith.trace.fuse import SESSIONS, Outcome
from bpfsmith.trace.specialise import LEAVES

_PROLOGUE = """\
/* {name}: how the fused object is attached. Written by `bpfsmith pairs --fuse --loader`.
 *
 * A session takes one attach call where the pair took two: its program runs on the way in, and on the way out if it returned 0
 * there. The program of the old exit is gone from the object: leave its attach call out.
 */
#pragma once
#include <bpf/libbpf.h>
"""
_UPROBE = """
/* {entry}, {exit}:
 * - bpf_program__attach_uprobe(skel->progs.{entry}, false, pid, path, offset);
 * - bpf_program__attach_uprobe(skel->progs.{exit}, true, pid, path, offset);
 * + attach_{entry}(skel->progs.{entry}, pid, path, "function");
 */
static inline struct bpf_link *attach_{entry}(struct bpf_program *prog, pid_t pid, const char *path, const char *function)
{{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .session = true);
	opts.syms = &function;
	opts.cnt = 1;
	return bpf_program__attach_uprobe_multi(prog, pid, path, NULL, &opts);
}}
"""
_KPROBE = """
/* {entry}, {exit}:
 * - bpf_program__attach_kprobe(skel->progs.{entry}, false, function);
 * - bpf_program__attach_kprobe(skel->progs.{exit}, true, function);
 * + attach_{entry}(skel->progs.{entry}, function);
 */
static inline struct bpf_link *attach_{entry}(struct bpf_program *prog, const char *function)
{{
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .session = true);
	opts.syms = &function;
	opts.cnt = 1;
	return bpf_program__attach_kprobe_multi_opts(prog, NULL, &opts);
}}
"""
_FSESSION = """
/* {entry}, {exit}: bpf_program__attach(skel->progs.{entry}) does for both; where the target is set at run time, set that of
 * {entry} with bpf_program__set_attach_target() as before.
 */
"""
_STORAGE = """
/* map {map}: was a hash with a key for each thread, is task storage; a loader that never looked into it changes nothing. */
"""
_FOLDED = """
/* Folded into the code, whatever a loader puts there: {constants}. */
"""


def loader_header(name: str, outcomes: Sequence[Outcome]) -> str:
    """The header for one object."""
    return _PROLOGUE.format(name=name) + "".join(_parts(outcomes))


def _parts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    maps: set[str] = set()
    said = {text for item in outcomes if isinstance(item.verdict, Equal) for text in item.verdict.assumptions}
    constants = sorted(text.removeprefix(LEAVES) for text in said if text.startswith(LEAVES))
    if constants:
        yield _FOLDED.format(constants=", ".join(constants))
    for outcome in outcomes:
        if outcome.form in SESSIONS:
            template = {"uprobe": _UPROBE, "kprobe": _KPROBE}.get(
                re.sub(r"\.multi$", "", outcome.pair.entry.hook.mechanism), _FSESSION
            )
            yield template.format(entry=outcome.pair.entry.program.name, exit=outcome.pair.exit.program.name)
        if outcome.form in (Form.TASK_STORAGE, Form.SESSION_STORAGE):
            maps.add(state_map(outcome.pair).spec.name)
    yield from (_STORAGE.format(map=name) for name in sorted(maps))
