"""Where the steps of an element run: which side, which direction, which hook, and why not another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.targets import TC_EGRESS, TC_INGRESS, XDP, Target
from bpfsmith.cost.profile import load_profile
from bpfsmith.diagnostic import Diagnostic, InputError, Label, Unsupported

_CASES = {"xdp": ("xdp", "XDP"), "tc": ("tcx", "TC ingress")}
_SHORT = {"req": "requests", "resp": "responses"}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one step runs. `rejected` are the other hooks, each with the reason."""

    body: str
    target: Target
    reason: str
    rejected: tuple[tuple[str, str], ...]


def place(element: core.Element, side: str = "server", hook: str = "") -> Mapping[str, Placement]:
    """The hook of each step. `side` is whose host it is, `hook` what was asked for, "auto" for the cheaper one, "" for
    the usual: XDP on a server, and TC on a client and for TCP.

    Raises Unsupported for an element that needs what no hook on its way has, InputError `hook-direction` for XDP where every
    message leaves.
    """
    out = {body: _placed(element, body, side, hook) for body in element.steps}
    if hook == "xdp" and all(item.target is TC_EGRESS for item in out.values()):
        raise InputError(
            Diagnostic(
                "hook-direction",
                f"XDP sees packets that arrive, and the {side}'s {_SHORT['req']} leave",
                help="write --hook tc, or --side server where requests arrive",
            )
        )
    return out


def _placed(element: core.Element, body: str, side: str, hook: str) -> Placement:
    arrives = (side == "server") == (body == "req")
    answers = body == "req" and element.binding is not None and element.binding.reply is not None
    if answers and facts.answers(element.body(body)):
        return _answering(body, arrives, side, hook, element)
    if not arrives:
        _refuse_rewriting(element, body, side)
        why = f"the {side}'s {_SHORT[body]} leave its host"
        return Placement(body, TC_EGRESS, why, (("XDP", "sees arriving packets only"), *_others(element)))
    way = f"the {side}'s {_SHORT[body]} arrive"
    if element.binding is not None and element.binding.envelope.slides:
        return _of_tcp(body, way, hook, element)
    costs, words = _costs()
    cheaper = min(costs, key=lambda name: costs[name])
    chosen = cheaper if hook == "auto" else hook or ("xdp" if side == "server" else "tc")
    asked = "asked for" if hook else f"usual on a {side}"
    other = "tc" if chosen == "xdp" else "xdp"
    target = XDP if chosen == "xdp" else TC_INGRESS
    reason = f"{way}; {words[chosen]} to get there" if hook == "auto" else f"{way}; {asked}"
    against = (_CASES[other][1], f"{words[other]} to get there" if hook == "auto" else f"{chosen} is {asked}")
    return Placement(body, target, reason, (against, *_others(element)))


def _answering(body: str, arrives: bool, side: str, hook: str, element: core.Element) -> Placement:
    """The binding wants errors answered, and only XDP sends a packet back by itself."""
    if not arrives or hook == "tc":
        refused = next(item for item in facts.statements(element.body(body)) if isinstance(item, core.Abort))
        where = "TC" if arrives else f"the {side}'s side, which {_SHORT[body]} leave"
        raise Unsupported(
            Diagnostic(
                "unsupported-reply",
                f"an error is to be answered, and {where} cannot do that",
                Label(refused.span),
                notes=(f"the binding {element.binding.name if element.binding else ''} has a [reply]",),
                help="write --side server --hook xdp, or remove [reply]: then errors drop the request",
            )
        )
    why = f"the {side}'s {_SHORT[body]} arrive, and errors are answered"
    return Placement(body, XDP, why, (("TC ingress", "cannot send a packet back by itself"), *_others(element)))


def _of_tcp(body: str, way: str, hook: str, element: core.Element) -> Placement:
    """TCP segments are read behind the IP header's checks, where the stack's buffers are whole packets."""
    if hook == "xdp" and element.binding is not None:
        raise Unsupported(
            Diagnostic(
                "unsupported-hook",
                "TCP segments are not read at XDP",
                notes=(
                    "their data lies in fragments there, which XDP drivers hand over only in part",
                    f"the binding {element.binding.name} has the transport tcp",
                ),
                help="write --hook tc or --hook auto",
            )
        )
    rejected = (("XDP", "sees the linear part of a segment only"), *_others(element))
    return Placement(body, TC_INGRESS, f"{way} as TCP segments", rejected)


def _costs() -> tuple[dict[str, float], dict[str, str]]:
    """ns that reaching a hook and an empty program there add to a message, from the shipped profile, and in words."""
    profile = load_profile()
    costs, words = {}, {}
    for name, (case, title) in _CASES.items():
        costs[name] = sum(profile.value(table, case, 0.0) for table in ("hooks.reach", "hooks.prepare"))
        words[name] = f"{title} takes {costs[name]:.0f} ns"
    return costs, words


def _others(element: core.Element) -> Iterator[tuple[str, str]]:
    streams = element.binding is not None and element.binding.envelope.slides
    yield (
        "sk_skb, sk_msg",
        (
            "want the connections' sockets in a map, and segments are looked at one by one here"
            if streams
            else "work on TCP streams, and messages are datagrams here"
        ),
    )
    yield "cgroup_skb", "runs behind the stack, for the sockets of a cgroup, and none is named"
    yield "sk_lookup", "chooses a socket and sees no payload"


def _refuse_rewriting(element: core.Element, body: str, side: str) -> None:
    for statement in facts.statements(element.body(body)):
        if isinstance(statement, core.SetField):
            raise Unsupported(
                Diagnostic(
                    "unsupported-payload",
                    f"the {side}'s {_SHORT[body]} leave its host, and are not rewritten there",
                    Label(statement.span),
                    notes=("a packet that leaves may have a checksum that the network card is to finish",),
                    help=f"write --side {'client' if side == 'server' else 'server'}: there {_SHORT[body]} arrive",
                )
            )


def placement_lines(placements: Mapping[str, Placement]) -> Iterator[str]:
    """What was chosen and what was not, for a report."""
    for item in placements.values():
        yield f"{item.body}: {item.target.section}, because {item.reason}"
        yield from (f"not {hook}: {why}" for hook, why in item.rejected)
