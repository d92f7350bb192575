"""Every instruction there is, as data: the IANA registry of RFC 9669 (section 7.2.2, appendix A), and what Linux adds to it.

    opcode  src  offset  imm  group  text  encoding

`src`, `offset` and `imm` are the values that the registry demands, `any` where the field is an operand. `text` is the kernel's,
for dst r1, src r2, an offset of 8 (2 for jumps) and an imm of 7 (2 where it is a distance); `encoding` is that insn, little
endian. The table is written down on its own, not derived from `isa.forms`: the two are each other's witness.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
    """One row. None stands for `any`. `group` is the conformance group, or "kernel" for what the RFC does not have."""

    opcode: int
    src: int | None
    offset: int | None
    imm: int | None
    group: str
    text: str
    encoding: bytes

    def __str__(self) -> str:
        return self.text


_TABLE = """
0x04  0    0    any    base32    w1 += 7                                         0401000007000000
0x05  0    any  0x0    base32    goto pc+2                                       0500020000000000
0x06  0    0    any    base32    gotol pc+2                                      0600000002000000
0x07  0    0    any    base64    r1 += 7                                         0701000007000000
0x0c  any  0    0x0    base32    w1 += w2                                        0c21000000000000
0x0d  0    0    0x0    kernel    gotox r1                                        0d01000000000000
0x0f  any  0    0x0    base64    r1 += r2                                        0f21000000000000
0x14  0    0    any    base32    w1 -= 7                                         1401000007000000
0x15  0    any  any    base64    if r1 == 0x7 goto pc+2                          1501020007000000
0x16  0    any  any    base32    if w1 == 0x7 goto pc+2                          1601020007000000
0x17  0    0    any    base64    r1 -= 7                                         1701000007000000
0x18  0    0    any    base64    r1 = 0x1122334455667788 ll                      1801000088776655 0000000044332211
0x18  1    0    any    base64    r1 = map[fd:7]                                  1811000007000000 0000000000000000
0x18  2    0    any    base64    r1 = map[fd:7][0]+8                             1821000007000000 0000000008000000
0x18  3    0    any    base64    r1 = btf[id:7]                                  1831000007000000 0000000000000000
0x18  4    0    any    base64    r1 = subprog[+2]                                1841000002000000 0000000000000000
0x18  5    0    any    base64    r1 = map[idx:7]                                 1851000007000000 0000000000000000
0x18  6    0    any    base64    r1 = map[idx:7][0]+8                            1861000007000000 0000000008000000
0x1c  any  0    0x0    base32    w1 -= w2                                        1c21000000000000
0x1d  any  any  0x0    base64    if r1 == r2 goto pc+2                           1d21020000000000
0x1e  any  any  0x0    base32    if w1 == w2 goto pc+2                           1e21020000000000
0x1f  any  0    0x0    base64    r1 -= r2                                        1f21000000000000
0x20  0    0    any    packet    r0 = *(u32 *)skb[7]                             2000000007000000
0x24  0    0    any    divmul32  w1 *= 7                                         2401000007000000
0x25  0    any  any    base64    if r1 > 0x7 goto pc+2                           2501020007000000
0x26  0    any  any    base32    if w1 > 0x7 goto pc+2                           2601020007000000
0x27  0    0    any    divmul64  r1 *= 7                                         2701000007000000
0x28  0    0    any    packet    r0 = *(u16 *)skb[7]                             2800000007000000
0x2c  any  0    0x0    divmul32  w1 *= w2                                        2c21000000000000
0x2d  any  any  0x0    base64    if r1 > r2 goto pc+2                            2d21020000000000
0x2e  any  any  0x0    base32    if w1 > w2 goto pc+2                            2e21020000000000
0x2f  any  0    0x0    divmul64  r1 *= r2                                        2f21000000000000
0x30  0    0    any    packet    r0 = *(u8 *)skb[7]                              3000000007000000
0x34  0    0    any    divmul32  w1 /= 7                                         3401000007000000
0x34  0    1    any    divmul32  w1 s/= 7                                        3401010007000000
0x35  0    any  any    base64    if r1 >= 0x7 goto pc+2                          3501020007000000
0x36  0    any  any    base32    if w1 >= 0x7 goto pc+2                          3601020007000000
0x37  0    0    any    divmul64  r1 /= 7                                         3701000007000000
0x37  0    1    any    divmul64  r1 s/= 7                                        3701010007000000
0x3c  any  0    0x0    divmul32  w1 /= w2                                        3c21000000000000
0x3c  any  1    0x0    divmul32  w1 s/= w2                                       3c21010000000000
0x3d  any  any  0x0    base64    if r1 >= r2 goto pc+2                           3d21020000000000
0x3e  any  any  0x0    base32    if w1 >= w2 goto pc+2                           3e21020000000000
0x3f  any  0    0x0    divmul64  r1 /= r2                                        3f21000000000000
0x3f  any  1    0x0    divmul64  r1 s/= r2                                       3f21010000000000
0x40  any  0    any    packet    r0 = *(u32 *)skb[r2 + 7]                        4020000007000000
0x44  0    0    any    base32    w1 |= 7                                         4401000007000000
0x45  0    any  any    base64    if r1 & 0x7 goto pc+2                           4501020007000000
0x46  0    any  any    base32    if w1 & 0x7 goto pc+2                           4601020007000000
0x47  0    0    any    base64    r1 |= 7                                         4701000007000000
0x48  any  0    any    packet    r0 = *(u16 *)skb[r2 + 7]                        4820000007000000
0x4c  any  0    0x0    base32    w1 |= w2                                        4c21000000000000
0x4d  any  any  0x0    base64    if r1 & r2 goto pc+2                            4d21020000000000
0x4e  any  any  0x0    base32    if w1 & w2 goto pc+2                            4e21020000000000
0x4f  any  0    0x0    base64    r1 |= r2                                        4f21000000000000
0x50  any  0    any    packet    r0 = *(u8 *)skb[r2 + 7]                         5020000007000000
0x54  0    0    any    base32    w1 &= 7                                         5401000007000000
0x55  0    any  any    base64    if r1 != 0x7 goto pc+2                          5501020007000000
0x56  0    any  any    base32    if w1 != 0x7 goto pc+2                          5601020007000000
0x57  0    0    any    base64    r1 &= 7                                         5701000007000000
0x5c  any  0    0x0    base32    w1 &= w2                                        5c21000000000000
0x5d  any  any  0x0    base64    if r1 != r2 goto pc+2                           5d21020000000000
0x5e  any  any  0x0    base32    if w1 != w2 goto pc+2                           5e21020000000000
0x5f  any  0    0x0    base64    r1 &= r2                                        5f21000000000000
0x61  any  any  0x0    base32    r1 = *(u32 *)(r2 +8)                            6121080000000000
0x62  0    any  any    base32    *(u32 *)(r1 +8) = 7                             6201080007000000
0x63  any  any  0x0    base32    *(u32 *)(r1 +8) = r2                            6321080000000000
0x64  0    0    any    base32    w1 <<= 7                                        6401000007000000
0x65  0    any  any    base64    if r1 s> 0x7 goto pc+2                          6501020007000000
0x66  0    any  any    base32    if w1 s> 0x7 goto pc+2                          6601020007000000
0x67  0    0    any    base64    r1 <<= 7                                        6701000007000000
0x69  any  any  0x0    base32    r1 = *(u16 *)(r2 +8)                            6921080000000000
0x6a  0    any  any    base32    *(u16 *)(r1 +8) = 7                             6a01080007000000
0x6b  any  any  0x0    base32    *(u16 *)(r1 +8) = r2                            6b21080000000000
0x6c  any  0    0x0    base32    w1 <<= w2                                       6c21000000000000
0x6d  any  any  0x0    base64    if r1 s> r2 goto pc+2                           6d21020000000000
0x6e  any  any  0x0    base32    if w1 s> w2 goto pc+2                           6e21020000000000
0x6f  any  0    0x0    base64    r1 <<= r2                                       6f21000000000000
0x71  any  any  0x0    base32    r1 = *(u8 *)(r2 +8)                             7121080000000000
0x72  0    any  any    base32    *(u8 *)(r1 +8) = 7                              7201080007000000
0x73  any  any  0x0    base32    *(u8 *)(r1 +8) = r2                             7321080000000000
0x74  0    0    any    base32    w1 >>= 7                                        7401000007000000
0x75  0    any  any    base64    if r1 s>= 0x7 goto pc+2                         7501020007000000
0x76  0    any  any    base32    if w1 s>= 0x7 goto pc+2                         7601020007000000
0x77  0    0    any    base64    r1 >>= 7                                        7701000007000000
0x79  any  any  0x0    base64    r1 = *(u64 *)(r2 +8)                            7921080000000000
0x7a  0    any  any    base64    *(u64 *)(r1 +8) = 7                             7a01080007000000
0x7b  any  any  0x0    base64    *(u64 *)(r1 +8) = r2                            7b21080000000000
0x7c  any  0    0x0    base32    w1 >>= w2                                       7c21000000000000
0x7d  any  any  0x0    base64    if r1 s>= r2 goto pc+2                          7d21020000000000
0x7e  any  any  0x0    base32    if w1 s>= w2 goto pc+2                          7e21020000000000
0x7f  any  0    0x0    base64    r1 >>= r2                                       7f21000000000000
0x81  any  any  0x0    base64    r1 = *(s32 *)(r2 +8)                            8121080000000000
0x84  0    0    0x0    base32    w1 = -w1                                        8401000000000000
0x85  0    0    any    base32    call bpf_get_prandom_u32#7                      8500000007000000
0x85  1    0    any    base32    call pc+2                                       8510000002000000
0x85  2    0    any    base32    call kernel-function#7                          8520000007000000
0x87  0    0    0x0    base64    r1 = -r1                                        8701000000000000
0x89  any  any  0x0    base64    r1 = *(s16 *)(r2 +8)                            8921080000000000
0x91  any  any  0x0    base64    r1 = *(s8 *)(r2 +8)                             9121080000000000
0x94  0    0    any    divmul32  w1 %= 7                                         9401000007000000
0x94  0    1    any    divmul32  w1 s%= 7                                        9401010007000000
0x95  0    0    0x0    base32    exit                                            9500000000000000
0x97  0    0    any    divmul64  r1 %= 7                                         9701000007000000
0x97  0    1    any    divmul64  r1 s%= 7                                        9701010007000000
0x9c  any  0    0x0    divmul32  w1 %= w2                                        9c21000000000000
0x9c  any  1    0x0    divmul32  w1 s%= w2                                       9c21010000000000
0x9f  any  0    0x0    divmul64  r1 %= r2                                        9f21000000000000
0x9f  any  1    0x0    divmul64  r1 s%= r2                                       9f21010000000000
0xa4  0    0    any    base32    w1 ^= 7                                         a401000007000000
0xa5  0    any  any    base64    if r1 < 0x7 goto pc+2                           a501020007000000
0xa6  0    any  any    base32    if w1 < 0x7 goto pc+2                           a601020007000000
0xa7  0    0    any    base64    r1 ^= 7                                         a701000007000000
0xac  any  0    0x0    base32    w1 ^= w2                                        ac21000000000000
0xad  any  any  0x0    base64    if r1 < r2 goto pc+2                            ad21020000000000
0xae  any  any  0x0    base32    if w1 < w2 goto pc+2                            ae21020000000000
0xaf  any  0    0x0    base64    r1 ^= r2                                        af21000000000000
0xb4  0    0    any    base32    w1 = 7                                          b401000007000000
0xb5  0    any  any    base64    if r1 <= 0x7 goto pc+2                          b501020007000000
0xb6  0    any  any    base32    if w1 <= 0x7 goto pc+2                          b601020007000000
0xb7  0    0    any    base64    r1 = 7                                          b701000007000000
0xbc  any  0    0x0    base32    w1 = w2                                         bc21000000000000
0xbc  any  8    0x0    base32    w1 = (s8)w2                                     bc21080000000000
0xbc  any  16   0x0    base32    w1 = (s16)w2                                    bc21100000000000
0xbd  any  any  0x0    base64    if r1 <= r2 goto pc+2                           bd21020000000000
0xbe  any  any  0x0    base32    if w1 <= w2 goto pc+2                           be21020000000000
0xbf  any  0    0x0    base64    r1 = r2                                         bf21000000000000
0xbf  any  1    any    kernel    r1 = addr_space_cast(r2, 0, 1)                  bf21010001000000
0xbf  any  8    0x0    base64    r1 = (s8)r2                                     bf21080000000000
0xbf  any  16   0x0    base64    r1 = (s16)r2                                    bf21100000000000
0xbf  any  32   0x0    base64    r1 = (s32)r2                                    bf21200000000000
0xc3  any  any  0x0    atomic32  lock *(u32 *)(r1 +8) += r2                      c321080000000000
0xc3  any  any  0x1    atomic32  r2 = atomic_fetch_add((u32 *)(r1 +8), r2)       c321080001000000
0xc3  any  any  0x40   atomic32  lock *(u32 *)(r1 +8) |= r2                      c321080040000000
0xc3  any  any  0x41   atomic32  r2 = atomic_fetch_or((u32 *)(r1 +8), r2)        c321080041000000
0xc3  any  any  0x50   atomic32  lock *(u32 *)(r1 +8) &= r2                      c321080050000000
0xc3  any  any  0x51   atomic32  r2 = atomic_fetch_and((u32 *)(r1 +8), r2)       c321080051000000
0xc3  any  any  0xa0   atomic32  lock *(u32 *)(r1 +8) ^= r2                      c3210800a0000000
0xc3  any  any  0xa1   atomic32  r2 = atomic_fetch_xor((u32 *)(r1 +8), r2)       c3210800a1000000
0xc3  any  any  0xe1   atomic32  r2 = atomic_xchg((u32 *)(r1 +8), r2)            c3210800e1000000
0xc3  any  any  0xf1   atomic32  r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)     c3210800f1000000
0xc3  any  any  0x100  kernel    r1 = load_acquire((u32 *)(r2 +8))               c321080000010000
0xc3  any  any  0x110  kernel    store_release((u32 *)(r1 +8), r2)               c321080010010000
0xc4  0    0    any    base32    w1 s>>= 7                                       c401000007000000
0xc5  0    any  any    base64    if r1 s< 0x7 goto pc+2                          c501020007000000
0xc6  0    any  any    base32    if w1 s< 0x7 goto pc+2                          c601020007000000
0xc7  0    0    any    base64    r1 s>>= 7                                       c701000007000000
0xcb  any  any  0x100  kernel    r1 = load_acquire((u16 *)(r2 +8))               cb21080000010000
0xcb  any  any  0x110  kernel    store_release((u16 *)(r1 +8), r2)               cb21080010010000
0xcc  any  0    0x0    base32    w1 s>>= w2                                      cc21000000000000
0xcd  any  any  0x0    base64    if r1 s< r2 goto pc+2                           cd21020000000000
0xce  any  any  0x0    base32    if w1 s< w2 goto pc+2                           ce21020000000000
0xcf  any  0    0x0    base64    r1 s>>= r2                                      cf21000000000000
0xd3  any  any  0x100  kernel    r1 = load_acquire((u8 *)(r2 +8))                d321080000010000
0xd3  any  any  0x110  kernel    store_release((u8 *)(r1 +8), r2)                d321080010010000
0xd4  0    0    0x10   base32    r1 = le16 r1                                    d401000010000000
0xd4  0    0    0x20   base32    r1 = le32 r1                                    d401000020000000
0xd4  0    0    0x40   base64    r1 = le64 r1                                    d401000040000000
0xd5  0    any  any    base64    if r1 s<= 0x7 goto pc+2                         d501020007000000
0xd6  0    any  any    base32    if w1 s<= 0x7 goto pc+2                         d601020007000000
0xd7  0    0    0x10   base32    r1 = bswap16 r1                                 d701000010000000
0xd7  0    0    0x20   base32    r1 = bswap32 r1                                 d701000020000000
0xd7  0    0    0x40   base64    r1 = bswap64 r1                                 d701000040000000
0xdb  any  any  0x0    atomic64  lock *(u64 *)(r1 +8) += r2                      db21080000000000
0xdb  any  any  0x1    atomic64  r2 = atomic64_fetch_add((u64 *)(r1 +8), r2)     db21080001000000
0xdb  any  any  0x40   atomic64  lock *(u64 *)(r1 +8) |= r2                      db21080040000000
0xdb  any  any  0x41   atomic64  r2 = atomic64_fetch_or((u64 *)(r1 +8), r2)      db21080041000000
0xdb  any  any  0x50   atomic64  lock *(u64 *)(r1 +8) &= r2                      db21080050000000
0xdb  any  any  0x51   atomic64  r2 = atomic64_fetch_and((u64 *)(r1 +8), r2)     db21080051000000
0xdb  any  any  0xa0   atomic64  lock *(u64 *)(r1 +8) ^= r2                      db210800a0000000
0xdb  any  any  0xa1   atomic64  r2 = atomic64_fetch_xor((u64 *)(r1 +8), r2)     db210800a1000000
0xdb  any  any  0xe1   atomic64  r2 = atomic64_xchg((u64 *)(r1 +8), r2)          db210800e1000000
0xdb  any  any  0xf1   atomic64  r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)   db210800f1000000
0xdb  any  any  0x100  kernel    r1 = load_acquire((u64 *)(r2 +8))               db21080000010000
0xdb  any  any  0x110  kernel    store_release((u64 *)(r1 +8), r2)               db21080010010000
0xdc  0    0    0x10   base32    r1 = be16 r1                                    dc01000010000000
0xdc  0    0    0x20   base32    r1 = be32 r1                                    dc01000020000000
0xdc  0    0    0x40   base64    r1 = be64 r1                                    dc01000040000000
0xdd  any  any  0x0    base64    if r1 s<= r2 goto pc+2                          dd21020000000000
0xde  any  any  0x0    base32    if w1 s<= w2 goto pc+2                          de21020000000000
0xe5  0    any  0x0    kernel    may_goto pc+2                                   e500020000000000
"""


def _row(line: str) -> Instruction:
    columns = line.split(None, 5)
    opcode, src, offset, imm = (None if item == "any" else int(item, 0) for item in columns[:4])
    assert opcode is not None
    text, _, encoding = columns[5].rpartition("  ")
    return Instruction(opcode, src, offset, imm, columns[4], text.strip(), bytes.fromhex(encoding))


INSTRUCTIONS = tuple(_row(line) for line in _TABLE.strip().splitlines())
