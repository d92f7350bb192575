// Each program is compiled with OTHER 0 and 1, which differ on some input, often on very few: no pair is equal.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#ifndef OTHER
#define OTHER 0
#endif
#define PICK(a, b) (OTHER ? (b) : (a))
__u64 a, b, out;
__s64 sa, sb;
__u32 w, v;
__s32 sw;
__u8 c;

#define LAW(name, left, right) SEC("xdp") int name(struct xdp_md *ctx) { out = PICK(left, right); return 2; }
LAW(shift_of_a_sum, (a + b) >> 1, (a >> 1) + (b >> 1))
LAW(average, (a & b) + ((a ^ b) >> 1), (a + b) / 2)
LAW(division_by_shift, (__u64)sa / 8, (__u64)(sa >> 3))
LAW(remainder_by_mask, a % 10, a & 9)
LAW(remainder_by_three, a % 3, (a & 3) == 3 ? 0 : a & 3)
LAW(wrapped_product, a * 3 > b * 3, a > b)
LAW(wrapped_sum, a + 1 > b, a >= b)
LAW(narrow_product, (__u64)(w * v), (__u64)w * v)
LAW(narrow_sum, (__u64)(w + v), (__u64)w + v)
LAW(narrow_difference, (__u64)(w - v), (__u64)w - v)
LAW(narrow_shift, (__u64)(w << 8), (__u64)w << 8)
LAW(sign_of_a_byte, (__u64)(__s8)c, (__u64)c)
LAW(signed_compare, sa < sb, (__u64)sa < (__u64)sb)
LAW(signed_shift, (__u64)(sa >> 63), (__u64)sa >> 63)
LAW(magnitude, (__u64)(sa < 0 ? -sa : sa) >> 63, 0ULL)
LAW(is_power_of_two, !(a & (a - 1)), a && !(a & (a - 1)))
LAW(rotation, a << (b & 63) | a >> (-b & 63), a << (b & 63) | a >> ((64 - b) & 31))
LAW(byte_swapped_order, __builtin_bswap32(w) < __builtin_bswap32(v), w < v)
LAW(byte_swapped_sum, (__u64)__builtin_bswap32(__builtin_bswap32(w) + 1), (__u64)w + 0x01000000)
LAW(merged_fields, (w & 0xff) == 4 && (v & 0xff) == 5, ((w & 0xff) << 4 | (v & 0xff)) == 0x45)
LAW(off_by_one, a <= 100 ? 1 : 0, a < 100 ? 1 : 0)
LAW(one_in_four_billion, w == 0xdeadbeef ? 1 : 0, 0)
LAW(one_in_very_many, a == 0xdeadbeefcafef00d ? 1 : 0, 0)
LAW(product_is_one_number, a * 0x9e3779b97f4a7c15 == 0x123456789abcdef1, 0)
LAW(division_rounds, (a + 6) / 7, a / 7 + (a % 7 != 0))
LAW(scaled, a * 1000 / 1000, a)
LAW(mask_of_carry, (a & 0xffff) + (b & 0xffff), (a + b) & 0xffff)
LAW(folded_sum, ((w & 0xffff) + (w >> 16)) & 0xffff, ((w & 0xffff) + (w >> 16) + (((w & 0xffff) + (w >> 16)) >> 16)) & 0xffff)
LAW(low_half_of_a_compare, (__u32)a == (__u32)b, a == b)
LAW(high_half_of_a_test, !!(a & 0x8000000000000000), !!(a & 0x80000000))

SEC("xdp") int bits_set(struct xdp_md *ctx)
{
	__u64 n = 0, t = a;
	for (int i = 0; i < PICK(16, 15); i++) {
		n += t & 1;
		t >>= 1;
	}
	out = n;
	return 2;
}

char _license[] SEC("license") = "GPL";
