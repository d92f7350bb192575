"""Questions with parts cut off: what a free variable answers for holds for whatever the part stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bpfsmith.semantics.terms import Term, Terms, postorder_until, rebuild


def cut(t: Terms, root: Term, done: dict[Term, Term], is_cut: Callable[[Term], bool]) -> Term:
    """The term with the outermost subterms that `is_cut` picks replaced by free variables, one for each; `done` is the memo."""
    for term in postorder_until(root, done):
        if term.args and term is not root and is_cut(term):
            done[term] = _free(t, term)
        else:
            done[term] = rebuild(t, term, [done[arg] for arg in term.args])
    return done[root]


def _free(t: Terms, term: Term) -> Term:
    """A free variable for a term; a multiple of a product is that multiple of the product's variable."""
    if term.op == "mul" and term.args[0].is_const and len(term.args) > 2:
        product = term.args[1]
        for factor in term.args[2:]:
            product = t.mul(term.width, product, factor)
        return t.mul(term.width, term.args[0], t.app(f"cut#{product.ident}", term.width))
    return t.app(f"cut#{term.ident}", term.width)


def light(t: Terms, conditions: Iterable[Term]) -> list[Term]:
    """The conditions without products and quotients of variables: if these cannot all hold, those cannot."""
    done: dict[Term, Term] = {}
    return [cut(t, condition, done, is_heavy) for condition in conditions]


def is_heavy(term: Term) -> bool:
    """A product or a quotient that costs a solver more than a few additions."""
    return of_variables(term) or term.op == "udiv" or (term.op == "mul" and not _few_bits(term.args[0]))


def of_variables(term: Term) -> bool:
    """A product or a quotient of two variables."""
    match term.op:
        case "mul":
            return not (len(term.args) == 2 and term.args[0].is_const)
        case "udiv":
            return not term.args[1].is_const
        case _:
            return False


def _few_bits(constant: Term) -> bool:
    """Multiplying by it is a few additions."""
    number = constant.number
    return min(number.bit_count(), (-number & ((1 << constant.width) - 1)).bit_count()) <= 3
