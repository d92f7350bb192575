"""A model of one's own on this machine: a GGUF file behind an OpenAI-compatible server on the loopback, on the CPU.

    python -m bpfsmith.propose.serve MODEL.gguf [--port 8089] [--threads N] [--context N] [--parallel N]

Needs `pip install 'bpfsmith[local-models]'` (xllamacpp, the server of llama.cpp). Any other server will do as well:
llama-server, vLLM, Ollama. It runs until it is interrupted; nothing of it can be reached from another machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


def serve(path: Path, port: int, threads: int, context: int, parallel: int) -> Any:
    """A running server: it stops when the object goes away. `context` is tokens for each of `parallel` requests at a time.

    ImportError where the extra is not installed.
    """
    library = import_module("xllamacpp")
    params = library.CommonParams()
    params.model.path = str(path)
    params.hostnames = [HOST]
    params.port = port
    params.n_ctx = context * parallel
    params.n_parallel = parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = 0
    params.warmup = False
    return library.Server(params)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bpfsmith.propose.serve", description="Serve a GGUF model on the loopback.")
    parser.add_argument("model", metavar="MODEL.gguf", type=Path)
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--context", type=int, default=6144, help="tokens of one conversation")
    parser.add_argument("--parallel", type=int, default=1, help="conversations at a time")
    args = parser.parse_args()
    if not args.model.is_file():
        parser.error(f"{args.model} is no file")
    try:
        server = serve(args.model, args.port, args.threads, args.context, args.parallel)
    except ImportError:
        parser.error("xllamacpp is not installed: pip install 'bpfsmith[local-models]'")
    sys.stdout.write(f"{server.listening_address}/v1\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main())
