"""The signature of a helper function, as the kernel's uapi header documents it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arg:
    """A parameter: its C type as written in the header ("const void *", "u64") and its name."""

    type: str
    name: str

    @property
    def c(self) -> str:
        """The declaration as C writes it."""
        return f"{self.type}{'' if self.type.endswith('*') else ' '}{self.name}"


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper by id: `name` in full ("bpf_map_lookup_elem"), C types in the header's spelling ("u32", not "__u32").

    `variadic` helpers read further registers up to r5. `fastcall` helpers leave r1..r5 intact where the JIT inlines them
    (__bpf_fastcall). A helper that the header documents for several contexts takes `void *` where they differ.
    """

    id: int
    name: str
    returns: str
    args: tuple[Arg, ...]
    variadic: bool = False
    fastcall: bool = False

    @property
    def signature(self) -> str:
        """The prototype as C, without semicolon."""
        args = ", ".join([arg.c for arg in self.args] + ["..."] * self.variadic) or "void"
        return f"{self.returns}{'' if self.returns.endswith('*') else ' '}{self.name}({args})"
