"""The same work on one core, on several, or on a cluster: results come in order and are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Protocol, TypeVar

from bpfsmith.diagnostic import Diagnostic, InputError

W = TypeVar("W")
R = TypeVar("R")


class Spread(Protocol):
    """Applies a function to each piece of work."""

    def __call__(self, function: Callable[[W], R], work: Sequence[W]) -> Iterator[R]: ...


def here(function: Callable[[W], R], work: Sequence[W]) -> Iterator[R]:
    """One after the other."""
    return map(function, work)


def processes(jobs: int) -> Spread:
    """In `jobs` processes of this machine."""

    def spread(function: Callable[[W], R], work: Sequence[W]) -> Iterator[R]:
        if jobs <= 1 or len(work) <= 1:
            yield from map(function, work)
            return
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(min(jobs, len(work)), mp_context=get_context("fork")) as pool:
            yield from pool.map(function, work)

    return spread


@contextmanager
def cluster(address: str) -> Iterator[Spread]:
    """On the workers of a Dask scheduler, which need this version of the package. InputError `no-cluster`."""
    try:
        distributed = import_module("distributed")
        client = distributed.Client(address, timeout="10s")
    except ModuleNotFoundError as error:
        raise _unavailable(address, "Dask distributed is not installed", "pip install 'bpfsmith[cluster]'") from error
    except (OSError, ValueError) as error:
        raise _unavailable(address, f"it does not answer: {error}", "start one with `dask scheduler`") from error
    with client:

        def spread(function: Callable[[W], R], work: Sequence[W]) -> Iterator[R]:
            for future in client.map(function, list(work), pure=False):
                yield future.result()

        yield spread


def _unavailable(address: str, reason: str, help_text: str) -> InputError:
    return InputError(Diagnostic("no-cluster", f"there is no cluster at {address}: {reason}", help=help_text))
