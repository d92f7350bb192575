"""bpf(2) BPF_PROG_LOAD in a few lines, for tests that need the verifier's log and nothing of the project's kernel layer."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass

_LOG_BYTES = 1 << 20
_LOG_LEVEL = 2  # every insn on every path
_BPF_PROG_LOAD = 5
_SYSCALL = {"x86_64": 321, "aarch64": 280}
# bpf_attr of BPF_PROG_LOAD up to log_true_size; struct bpf_attr, include/uapi/linux/bpf.h
_ATTR = struct.Struct("<IIQQIIQII16sIIIIQIIQIIIIQQII")


@dataclass(frozen=True)
class Loaded:
    """What the kernel said: `error` is 0 or an errno. The program is closed again before anyone sees this."""

    error: int
    log: str


def load(code: bytes, prog_type: int) -> Loaded:
    """Have the kernel verify `code`, and let go of the program at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = ctypes.create_string_buffer(code, len(code))
    license_name = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    head = (prog_type, len(code) // 8, ctypes.addressof(program), ctypes.addressof(license_name))
    logging = (_LOG_LEVEL, _LOG_BYTES, ctypes.addressof(log))
    rest = (0, 0, b"isa_test") + (0,) * 16
    attr = ctypes.create_string_buffer(_ATTR.pack(*head, *logging, *rest), _ATTR.size)
    fd = libc.syscall(
        ctypes.c_long(_SYSCALL[os.uname().machine]), ctypes.c_long(_BPF_PROG_LOAD), attr, ctypes.c_long(_ATTR.size)
    )
    error = ctypes.get_errno() if fd < 0 else 0
    if fd >= 0:
        os.close(fd)
    return Loaded(error, log.value.decode())
