"""Which hook a kernel half is attached to: by what the cost profile says of each, and by what the server needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.cost.profile import Profile

_CASES = {"tc": ("tcx", "past_tcx"), "xdp": ("xdp", "past_xdp")}
"""Of the experiment hooks.echo: a reply from the hook, and one of the process that the hook let through."""

_WHY = {
    "tc": "UDP, a reply in place of its request: before the stack, on every device; checksums may be left to the device",
    "xdp": "UDP, a reply in place of its request: before packets get an sk_buff; a veth needs a program on its peer too",
}
EVEN = 0.5  # of requests that are answered, where nobody says how many


@dataclass(frozen=True, slots=True)
class Cost:
    """ns of a round trip: answered at the hook, and by the process behind it."""

    answered: float
    passed: float

    def mean(self, share: float) -> float:
        return share * self.answered + (1 - share) * self.passed


@dataclass(frozen=True, slots=True)
class Choice:
    """A hook, and what it was chosen by; `costs` are those of all hooks that the profile knows."""

    hook: str
    wished: bool
    costs: dict[str, Cost]
    socket: float | None

    def lines(self) -> Iterator[str]:
        """The reasons, a line each."""
        yield f"hook        {self.hook}: {_WHY[self.hook]}"
        for name, cost in self.costs.items():
            mark = "chosen by you" if self.wished else "the least" if len(self.costs) > 1 else "the only one known"
            chosen = f" ({mark})" if name == self.hook else ""
            yield f"            {name}: {cost.answered:,.0f} ns a reply, {cost.passed:,.0f} ns when handed over{chosen}"
        if self.socket is not None:
            yield f"            the process alone: {self.socket:,.0f} ns; sk_lookup and sk_skb do not answer UDP"
        if not self.costs:
            yield "            the cost profile has no hooks.echo: `bpfsmith measure` makes one"


def choose(wish: str, profile: Profile) -> Choice:
    """`wish` is "tc", "xdp" or "auto": the hook whose round trips are the shortest where half of the requests are answered."""
    costs = {}
    for hook, cases in _CASES.items():
        found = [profile.find("hooks.echo", case) for case in cases]
        if all(item is not None for item in found):
            costs[hook] = Cost(*(item.value for item in found if item is not None))
    socket = profile.find("hooks.echo", "socket")
    hook = wish
    if wish == "auto":
        hook = min(costs, key=lambda name: costs[name].mean(EVEN)) if costs else "tc"
    return Choice(hook, wish != "auto", costs, socket.value if socket is not None else None)
