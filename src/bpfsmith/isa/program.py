"""A program as a blueprint: instructions and the maps they name. It never holds a file descriptor."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bpfsmith.isa.insn import BPF_CALL, BPF_JMP, BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, Insn, slot_starts


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map as its definition states it. Sizes are bytes.

    `type` is the uapi name ("BPF_MAP_TYPE_HASH"); `key_btf_id` and `value_btf_id` point into the object's BTF (0: none);
    `initial` is the content of a data section's single value; `frozen` says that neither program nor user can change it
    once loaded (.rodata), so that its bytes are constants. `entries` are the initial elements of a map of maps or
    programs: index and the map's or program's name.
    """

    name: str
    type: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    key_btf_id: int = 0
    value_btf_id: int = 0
    initial: bytes | None = None
    frozen: bool = False
    inner: MapSpec | None = None
    pinning: int = 0
    extra: int = 0
    entries: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Subprogram:
    """A bpf-to-bpf function: `is_global` functions are verified on their own by the kernel."""

    name: str
    insns: tuple[Insn, ...]
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """One loadable program: its entry function, the subprograms that it reaches, and every map that they name.

    `section` is the libbpf section name ("xdp", "tc", "tracepoint/..."), which decides the program type.
    """

    name: str
    section: str
    insns: tuple[Insn, ...]
    maps: tuple[MapSpec, ...] = ()
    subprograms: tuple[Subprogram, ...] = ()
    license: str = "GPL"

    def map(self, name: str) -> MapSpec:
        """The map called `name`; raises KeyError."""
        for spec in self.maps:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def linked(self) -> tuple[Insn, ...]:
        """Entry function and subprograms as the kernel wants them: one sequence, calls resolved to slot distances."""
        if not self.subprograms:
            return self.insns
        bodies = (self.insns, *(sub.insns for sub in self.subprograms))
        starts, at = {}, 0
        for name, body in zip((self.name, *(sub.name for sub in self.subprograms)), bodies, strict=True):
            starts[name] = at
            at += slot_starts(body)[-1]
        out: list[Insn] = []
        at = 0
        for body in bodies:
            for insn in body:
                if insn.symbol in starts and is_subprogram_reference(insn):
                    insn = replace(insn, imm=starts[insn.symbol] - at - 1)
                out.append(insn)
                at += insn.slots
        return tuple(out)


def is_subprogram_reference(insn: Insn) -> bool:
    """Does the insn call a subprogram or take its address?"""
    if insn.is_wide:
        return insn.src_reg == BPF_PSEUDO_FUNC
    return insn.opcode == BPF_JMP | BPF_CALL and insn.src_reg == BPF_PSEUDO_CALL
