"""Programs of K2's and Merlin's evaluations that are kernel samples, compiled for benchmarks/optimize.py.

    apt-get source linux        (5.10, Debian 11, has most of them: later kernels rewrote xdp_monitor)
    python benchmarks/kernel_samples.py linux-5.10.223 OUT --mcpu v2
    python benchmarks/optimize.py --mcpu v2 --atomics OUT/*.o

The samples want headers from inside the kernel; of those they need a few types and macros, which stand in a file made here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bpfsmith.diagnostic import ToolError
from bpfsmith.workflow.inputs import Toolchain

SAMPLES = (
    "xdp_monitor_kern.c", "xdp_redirect_kern.c", "xdp_redirect_cpu_kern.c", "xdp_router_ipv4_kern.c", "xdp1_kern.c",
    "xdp2_kern.c", "xdp_fwd_kern.c", "sockex1_kern.c", "sockex2_kern.c", "sockex3_kern.c", "syscall_tp_kern.c",
    "xdp_rxq_info_kern.c", "xdp_tx_iptunnel_kern.c", "xdp_adjust_tail_kern.c", "tcp_iw_kern.c", "tcp_clamp_kern.c",
    "tcp_tos_reflect_kern.c", "test_map_in_map_kern.c",
)  # fmt: skip
EMPTY = ("linux/slab.h", "linux/compiler.h", "linux/compiler_types.h", "net/ip_fib.h")
HELPERS = Path("/usr/include/bpf/bpf_helper_defs.h")  # libbpf-dev: kernels make theirs when they are built
PRELUDE = """
#define __attribute_const__
#define __always_inline inline __attribute__((always_inline))
#include <linux/types.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64; typedef __s32 s32; typedef __s64 s64;
typedef _Bool bool;
enum { false, true };
#define NULL ((void *)0)
#define __force
#define __user
#define TASK_COMM_LEN 16
#define NR_CPUS 64
#define SOL_IP 0
#define SOL_SOCKET 1
#define SOL_TCP 6
#define SOL_IPV6 41
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define AF_INET 2
#define AF_INET6 10
#define ENOENT 2
#define EINVAL 22
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define max(a, b) ((a) > (b) ? (a) : (b))
#define offsetof(type, member) __builtin_offsetof(type, member)
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#define htons __builtin_bswap16
#define ntohs __builtin_bswap16
#define htonl __builtin_bswap32
#define ntohl __builtin_bswap32
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define cpu_to_be32 __builtin_bswap32
"""
TUNNEL = "#include <linux/tcp.h>\n#include <linux/udp.h>\n"
VLAN = "struct vlan_hdr { __be16 h_vlan_TCI; __be16 h_vlan_encapsulated_proto; };\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Kernel samples as objects.")
    parser.add_argument("linux", type=Path, help="a kernel's source")
    parser.add_argument("out", type=Path, help="a directory for the objects")
    parser.add_argument("--mcpu", choices=("v1", "v2", "v3", "v4"), default="v2")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        stubs = Path(scratch)
        for name in EMPTY:
            (stubs / name).parent.mkdir(parents=True, exist_ok=True)
            (stubs / name).write_text("")
        (stubs / "uapi").symlink_to((args.linux / "include" / "uapi").resolve())
        (stubs / "bpf").mkdir()
        for header in (*(args.linux / "tools" / "lib" / "bpf").glob("*.h"), HELPERS):
            (stubs / "bpf" / header.name).symlink_to(header.resolve())
        for name in SAMPLES:
            text = (args.linux / "samples" / "bpf" / name).read_text()
            prelude = stubs / f"{name}.h"
            includes = TUNNEL if "tunnel" in name else ""  # which it gets by way of headers that are empty here
            prelude.write_text(PRELUDE + includes + ("" if "struct vlan_hdr {" in text else VLAN))
            flags = (
                "-include", str(prelude), f"-I{stubs}", f"-I{args.linux}/include/uapi", f"-I{args.linux}/samples/bpf",
                f"-I{args.linux}/tools/testing/selftests/bpf", "-w",
            )  # fmt: skip
            try:
                data = Toolchain(cpu=args.mcpu, flags=flags).compile(args.linux / "samples" / "bpf" / name)
            except ToolError as error:
                print(f"{name}: {error.diagnostics[0].message}", file=sys.stderr)
                continue
            (args.out / name.replace("_kern.c", ".o")).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
