"""An element at work: its programs loaded, its init run, and each of them attached to a device of a network namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bpfsmith.appnet.correspond import layout_of, with_state
from bpfsmith.diagnostic import Diagnostic, InputError, KernelError
from bpfsmith.execution import MapContents
from bpfsmith.kernel import links, testrun
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.kernel.netns import entered
from bpfsmith.workflow.compiling import Compiled
from bpfsmith.workflow.describe import Vocabulary, state


@dataclass(frozen=True, slots=True)
class Attached:
    """The programs of an element on a device, as long as the block that gave this is open. `places` says where each step is."""

    compiled: Compiled
    maps: MapSet
    words: Vocabulary
    places: Mapping[str, str]

    def contents(self) -> dict[str, MapContents]:
        """The maps as they are now, by name."""
        return {name: self.maps.read(name) for name in self.maps.names}

    def state(self) -> dict[str, str]:
        """The state variables as they are now, in the user's terms."""
        return state(self.contents(), self.words)


@contextmanager
def attached(compiled: Compiled, device: str, *, generic: bool = False) -> Iterator[Attached]:
    """Loads the element's programs, runs its init, and attaches its steps to `device` of the thread's network namespace.

    Everything hangs on file descriptors of this process: it is gone when the block ends, and when the process is killed.
    Raises InputError `unknown-device`, and KernelError where the kernel refuses to load or attach a program.
    """
    generated, obj = compiled.generated, compiled.obj
    with ExitStack() as stack:
        maps = stack.enter_context(open_maps(obj.maps, obj=obj))
        loaded = {body: stack.enter_context(_loaded(compiled, name, maps)) for body, name in generated.functions.items()}
        if "init" in loaded:
            testrun.run(loaded["init"])
        places = {}
        for body in generated.steps:
            section = obj.program(generated.functions[body]).section
            stack.enter_context(_link(loaded[body], section, device, generic))
            places[body] = f"{section} of {device}"
        first = next(iter(generated.steps.values()))
        program = replace(with_state(obj.program(first), obj, compiled.element), maps=obj.maps)
        found = layout_of(compiled.element, program, obj, {})
        words = Vocabulary(program, compiled.element, None if isinstance(found, str) else found, obj)
        yield Attached(compiled, maps, words, places)


@contextmanager
def _loaded(compiled: Compiled, name: str, maps: MapSet) -> Iterator[Accepted]:
    with load(compiled.obj.program(name), maps) as outcome:
        if not isinstance(outcome, Accepted):
            help = "`bpfsmith verify` says where and why"
            raise KernelError(Diagnostic("verifier-rejected", f"the kernel rejects {name}: {outcome.reason}", help=help))
        yield outcome


@contextmanager
def _link(program: Accepted, section: str, device: str, generic: bool) -> Iterator[None]:
    try:
        if section == "xdp":
            link = links.xdp(program.fd, device, generic=generic)
        else:
            link = links.tcx(program.fd, device, egress=section.endswith("egress"))
        with link:
            yield
    except OSError as error:
        if error.errno is not None and error.args and "No such device" in str(error):
            raise _no_device(device) from error
        help = "write --generic, if the device's driver has no XDP" if section == "xdp" and not generic else ""
        message = f"{section} cannot be attached to {device}: {error.strerror or error}"
        raise KernelError(Diagnostic("attach-failed", message, help=help)) from error


def _no_device(device: str) -> InputError:
    return InputError(
        Diagnostic("unknown-device", f"there is no device {device} in the namespace", help="`ip link` lists them")
    )


@contextmanager
def attached_in(compiled: Compiled, namespace: str, device: str, *, generic: bool = False) -> Iterator[Attached]:
    """`attached` in a namespace that ip-netns(8) knows by name."""
    with entered(namespace), attached(compiled, device, generic=generic) as running:
        yield running


def state_lines(running: Attached, before: Mapping[str, str] | None = None) -> Iterator[str]:
    """The state as a table; what changed since `before` is marked."""
    now = running.state()
    width = max((len(name) for name in now), default=0)
    for name, value in now.items():
        changed = before is not None and before.get(name) != value
        shown = value if len(value) <= 100 else f"{value[:97]}..."
        yield f"{name:<{width}}  {shown}{'  *' if changed else ''}"
