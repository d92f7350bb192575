/* Fixed point with 32 fractional bits, printed by `make tables` from bpfsmith's appnet/fixed.py. */
#pragma once

/* Hides what the compiler knows of a value; costs no instruction but for loading a constant. */
#define fx_hide(x) asm volatile("" : "+r"(x))
#define fx_hide_variable(x) do { if (!__builtin_constant_p(x)) fx_hide(x); } while (0)

static __always_inline __u64 fx_plain(__u64 x) /* x, of which nothing is known */
{
	fx_hide(x);
	return x;
}

static __always_inline __u64 fx_add(__u64 a, __u64 b) /* exact; saturates */
{
	__u64 v0 = a + b;
	__u64 v1 = a ^ v0;
	__u64 v2 = b ^ v0;
	__u64 v3 = v1 & v2;
	__u64 v4 = ((__s64)a < (__s64)0ULL) ? 0x8000000000000000ULL : 0x7fffffffffffffffULL;
	__u64 v5 = ((__s64)v3 < (__s64)0ULL) ? v4 : v0;
	return v5;
}

static __always_inline __u64 fx_sub(__u64 a, __u64 b) /* exact; saturates */
{
	__u64 v0 = a - b;
	__u64 v1 = a ^ b;
	__u64 v2 = a ^ v0;
	__u64 v3 = v1 & v2;
	__u64 v4 = ((__s64)a < (__s64)0ULL) ? 0x8000000000000000ULL : 0x7fffffffffffffffULL;
	__u64 v5 = ((__s64)v3 < (__s64)0ULL) ? v4 : v0;
	return v5;
}

static __always_inline __u64 fx_neg(__u64 a) /* exact; saturates */
{
	__u64 v0 = 0ULL - a;
	__u64 v1 = (a == 0x8000000000000000ULL) ? 0x7fffffffffffffffULL : v0;
	return v1;
}

static __always_inline __u64 fx_mul(__u64 a, __u64 b) /* below 2^-32, toward zero; saturates */
{
	fx_hide(a);
	fx_hide(b);
	__u64 v0 = a ^ b;
	__u64 v1 = 0ULL - a;
	__u64 v2 = ((__s64)a < (__s64)0ULL) ? v1 : a;
	__u64 v3 = 0ULL - b;
	__u64 v4 = ((__s64)b < (__s64)0ULL) ? v3 : b;
	__u64 v5 = v2 >> 32ULL;
	__u64 v6 = v2 & 0xffffffffULL;
	__u64 v7 = v4 >> 32ULL;
	__u64 v8 = v4 & 0xffffffffULL;
	__u64 v9 = v5 * v7;
	__u64 v10 = v5 * v8;
	__u64 v11 = v6 * v7;
	__u64 v12 = v10 + v11;
	__u64 v13 = v6 * v8;
	__u64 v14 = v13 >> 32ULL;
	__u64 v15 = v12 + v14;
	__u64 v16 = v9 << 32ULL;
	__u64 v17 = v16 + v15;
	__u64 v18 = v9 >> 31ULL;
	__u64 v19 = v15 | v17;
	__u64 v20 = v19 >> 63ULL;
	__u64 v21 = v18 | v20;
	__u64 v22 = 0ULL - v17;
	__u64 v23 = ((__s64)v0 < (__s64)0ULL) ? v22 : v17;
	__u64 v24 = ((__s64)v0 < (__s64)0ULL) ? 0x8000000000000000ULL : 0x7fffffffffffffffULL;
	__u64 v25 = !(v21 == 0ULL) ? v24 : v23;
	fx_hide(v25);
	return v25;
}

static __always_inline __u64 fx_div(__u64 a, __u64 b) /* below 2^-32 (divisors from 65536: 2^-31 relative); saturates */
{
	fx_hide(a);
	fx_hide(b);
	__u64 v0 = a ^ b;
	__u64 v1 = 0ULL - a;
	__u64 v2 = ((__s64)a < (__s64)0ULL) ? v1 : a;
	__u64 v3 = 0ULL - b;
	__u64 v4 = ((__s64)b < (__s64)0ULL) ? v3 : b;
	__u64 v5 = v2 / v4;
	__u64 v6 = v2 % v4;
	__u64 v7 = !(v4 < 0x1000000000000ULL) ? 15ULL : 0ULL;
	__u64 v8 = v6 >> v7;
	__u64 v9 = v4 >> v7;
	__u64 v10 = v8 << 16ULL;
	__u64 v11 = v10 / v9;
	__u64 v12 = v10 % v9;
	__u64 v13 = v12 << 16ULL;
	__u64 v14 = v13 / v9;
	__u64 v15 = v13 % v9;
	__u64 v16 = v11 << 16ULL;
	__u64 v17 = v16 + v14;
	__u64 v18 = v5 << 32ULL;
	__u64 v19 = v18 + v17;
	__u64 v20 = 0ULL - v19;
	__u64 v21 = ((__s64)v0 < (__s64)0ULL) ? v20 : v19;
	__u64 v22 = ((__s64)v0 < (__s64)0ULL) ? 0x8000000000000000ULL : 0x7fffffffffffffffULL;
	__u64 v23 = (!(v5 < 0x80000000ULL) || ((__s64)v19 < (__s64)0ULL)) ? v22 : v21;
	fx_hide(v23);
	return v23;
}

static __always_inline __u64 fx_scale(__u64 a, __u64 n) /* a times a whole number: exact; saturates */
{
	__u64 v0 = 0ULL - a;
	__u64 v1 = ((__s64)a < (__s64)0ULL) ? v0 : a;
	__u64 v2 = 0x7fffffffffffffffULL / n;
	__u64 v3 = v1 * n;
	__u64 v4 = 0ULL - v3;
	__u64 v5 = ((__s64)a < (__s64)0ULL) ? v4 : v3;
	__u64 v6 = ((__s64)a < (__s64)0ULL) ? 0x8000000000000000ULL : 0x7fffffffffffffffULL;
	__u64 v7 = (v2 < v1) ? v6 : v5;
	return v7;
}

static __always_inline __u64 fx_part(__u64 a, __u64 f) /* a by a number between 0 and 1: below 2^-32, toward zero */
{
	fx_hide_variable(a);
	fx_hide_variable(f);
	__u64 v0 = 0ULL - a;
	__u64 v1 = ((__s64)a < (__s64)0ULL) ? v0 : a;
	__u64 v2 = v1 >> 32ULL;
	__u64 v3 = v1 & 0xffffffffULL;
	__u64 v4 = v2 * f;
	__u64 v5 = v3 * f;
	__u64 v6 = v5 >> 32ULL;
	__u64 v7 = v4 + v6;
	__u64 v8 = 0ULL - v7;
	__u64 v9 = ((__s64)a < (__s64)0ULL) ? v8 : v7;
	fx_hide_variable(v9);
	return v9;
}

static __always_inline __u64 fx_shrink(__u64 a, __u64 n) /* a by a whole number: below 2^-32 */
{
	__u64 v0 = 0ULL - a;
	__u64 v1 = ((__s64)a < (__s64)0ULL) ? v0 : a;
	__u64 v2 = v1 / n;
	__u64 v3 = 0ULL - v2;
	__u64 v4 = ((__s64)a < (__s64)0ULL) ? v3 : v2;
	return v4;
}

static __always_inline __u64 fx_from_int(__u64 a) /* exact */
{
	__u64 v0 = a << 32ULL;
	return v0;
}

static __always_inline __u64 fx_from_uint(__u64 a) /* exact below 2^31; saturates */
{
	__u64 v0 = a << 32ULL;
	__u64 v1 = (a < 0x80000000ULL) ? v0 : 0x7fffffffffffffffULL;
	return v1;
}

static __always_inline __u64 fx_seconds(__u64 later, __u64 earlier) /* below 2^-32 s; saturates at 2^31 s */
{
	fx_hide_variable(later);
	fx_hide_variable(earlier);
	__u64 v0 = later - earlier;
	__u64 v1 = 0ULL - v0;
	__u64 v2 = ((__s64)v0 < (__s64)0ULL) ? v1 : v0;
	__u64 v3 = v2 / 0x3b9aca00ULL;
	__u64 v4 = v2 % 0x3b9aca00ULL;
	__u64 v5 = v4 << 32ULL;
	__u64 v6 = v5 / 0x3b9aca00ULL;
	__u64 v7 = v3 << 32ULL;
	__u64 v8 = v7 + v6;
	__u64 v9 = 0ULL - v8;
	__u64 v10 = ((__s64)v0 < (__s64)0ULL) ? v9 : v8;
	__u64 v11 = ((__s64)v0 < (__s64)0ULL) ? 0x8000000000000000ULL : 0x7fffffffffffffffULL;
	__u64 v12 = !(v3 < 0x80000000ULL) ? v11 : v10;
	fx_hide_variable(v12);
	return v12;
}

static __always_inline __u64 fx_uniform(__u64 word, __u64 low, __u64 span) /* below 2^-32 * span */
{
	__u64 v0 = span >> 32ULL;
	__u64 v1 = span & 0xffffffffULL;
	__u64 v2 = word * v0;
	__u64 v3 = word * v1;
	__u64 v4 = v3 >> 32ULL;
	__u64 v5 = v2 + v4;
	__u64 v6 = low + v5;
	return v6;
}

static __always_inline __u64 fx_threshold(__u64 p) /* exact */
{
	__u64 v0 = !((__s64)p < (__s64)0x100000000ULL) ? 0x100000000ULL : p;
	__u64 v1 = ((__s64)p < (__s64)0ULL) ? 0ULL : v0;
	return v1;
}
