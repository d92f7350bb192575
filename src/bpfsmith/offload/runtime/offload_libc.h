/*
 * Functions of the C library as the kernel half has them: on memory of the arena, every pointer checked, every loop bounded.
 * What they are given that they have no form for hands the request over.
 */
#pragma once

typedef const unsigned char __arena *bs_in;
typedef unsigned char __arena *bs_out;

/* Checked by the verifier once, whoever calls it: addresses and numbers come in as plain 64 bits. */
#ifndef BS_FUNCTION
#define BS_FUNCTION __attribute__((noinline))
#endif

#define BS_SPAN(run, pointer, bytes)                                                                  \
	do {                                                                                          \
		if ((__u64)(bytes) > CONFIG->size || !bs_within((__u64)(pointer), bytes)) {           \
			bs_over(run, BS_POINTER);                                                     \
			return 0;                                                                     \
		}                                                                                     \
	} while (0)

BS_FUNCTION __u64 gbs_memcmp(__u64 run_, __u64 a_, __u64 b_, __u64 bytes_)
{
	bs_t run = (bs_t)run_;
	const void __arena *a = (const void __arena *)a_;
	const void __arena *b = (const void __arena *)b_;
	__u64 bytes = (__u64)bytes_;
	bs_in p = a, q = b;
	__u64 i = run->zero;

	BS_SPAN(run, a, bytes);
	BS_SPAN(run, b, bytes);
	while (BS_ANY(run, i) < bytes && BS_MORE(run)) {
		if (p[i] != q[i])
			return (__u64)(p[i] < q[i] ? -1 : 1);
		i++;
	}
	return (__u64)(0);
}
#define bs_memcmp(run, a, b, bytes) ((int)gbs_memcmp((__u64)(run), (__u64)(a), (__u64)(b), (__u64)(bytes)))

#define bs_bcmp bs_memcmp

BS_FUNCTION __u64 gbs_memmove(__u64 run_, __u64 to_, __u64 from_, __u64 bytes_)
{
	bs_t run = (bs_t)run_;
	void __arena *to = (void __arena *)to_;
	const void __arena *from = (const void __arena *)from_;
	__u64 bytes = (__u64)bytes_;
	bs_out p = to;
	bs_in q = from;
	__u64 i;

	BS_SPAN(run, from, bytes);
	if (!bs_changing(run, (__u64)to, bytes))
		return (__u64)(to);
	if ((__u64)to - (__u64)from >= bytes) {
		i = run->zero;
		while (BS_ANY(run, i) + 8 <= bytes && BS_MORE(run)) {
			*(__u64 __arena *)(p + i) = *(__u64 __arena *)(q + i);
			i += 8;
		}
		while (BS_ANY(run, i) < bytes && BS_MORE(run)) {
			p[i] = q[i];
			i++;
		}
	} else {
		i = bytes;
		while (BS_ANY(run, i) && BS_MORE(run)) {
			i--;
			p[i] = q[i];
		}
	}
	return (__u64)(to);
}
#define bs_memmove(run, to, from, bytes) ((void __arena *)gbs_memmove((__u64)(run), (__u64)(to), (__u64)(from), (__u64)(bytes)))

#define bs_memcpy bs_memmove
#define bs_mempcpy(run, to, from, bytes) ((char __arena *)bs_memmove(run, to, from, bytes) + (bytes))

BS_FUNCTION __u64 gbs_memset(__u64 run_, __u64 to_, __u64 byte_, __u64 bytes_)
{
	bs_t run = (bs_t)run_;
	void __arena *to = (void __arena *)to_;
	int byte = (int)byte_;
	__u64 bytes = (__u64)bytes_;
	bs_out p = to;
	__u64 i = run->zero, word = (__u64)(__u8)byte * 0x0101010101010101ULL;

	if (!bs_changing(run, (__u64)to, bytes))
		return (__u64)(to);
	while (BS_ANY(run, i) + 8 <= bytes && BS_MORE(run)) {
		*(__u64 __arena *)(p + i) = word;
		i += 8;
	}
	while (BS_ANY(run, i) < bytes && BS_MORE(run)) {
		p[i] = byte;
		i++;
	}
	return (__u64)(to);
}
#define bs_memset(run, to, byte, bytes) ((void __arena *)gbs_memset((__u64)(run), (__u64)(to), (__u64)(byte), (__u64)(bytes)))

#define bs_bzero(run, to, bytes) ((void)bs_memset(run, to, 0, bytes))

BS_FUNCTION __u64 gbs_memchr(__u64 run_, __u64 in_, __u64 byte_, __u64 bytes_)
{
	bs_t run = (bs_t)run_;
	const void __arena *in = (const void __arena *)in_;
	int byte = (int)byte_;
	__u64 bytes = (__u64)bytes_;
	bs_in p = in;
	__u64 i = run->zero;

	while (BS_ANY(run, i) < bytes && BS_MORE(run)) {
		if (*BS_AT(run, p + i) == (__u8)byte)
			return (__u64)((void __arena *)(p + i));
		i++;
	}
	return (__u64)(0);
}
#define bs_memchr(run, in, byte, bytes) ((void __arena *)gbs_memchr((__u64)(run), (__u64)(in), (__u64)(byte), (__u64)(bytes)))

BS_FUNCTION __u64 gbs_memrchr(__u64 run_, __u64 in_, __u64 byte_, __u64 bytes_)
{
	bs_t run = (bs_t)run_;
	const void __arena *in = (const void __arena *)in_;
	int byte = (int)byte_;
	__u64 bytes = (__u64)bytes_;
	bs_in p = in;

	while (BS_ANY(run, bytes) && BS_MORE(run)) {
		bytes--;
		if (*BS_AT(run, p + bytes) == (__u8)byte)
			return (__u64)((void __arena *)(p + bytes));
	}
	return (__u64)(0);
}
#define bs_memrchr(run, in, byte, bytes) ((void __arena *)gbs_memrchr((__u64)(run), (__u64)(in), (__u64)(byte), (__u64)(bytes)))

BS_FUNCTION __u64 gbs_strnlen(__u64 run_, __u64 text_, __u64 most_)
{
	bs_t run = (bs_t)run_;
	const char __arena *text = (const char __arena *)text_;
	__u64 most = (__u64)most_;
	__u64 i = run->zero;

	while (BS_ANY(run, i) < most && BS_MORE(run)) {
		if (!*BS_AT(run, text + i))
			return (__u64)(i);
		i++;
	}
	return (__u64)(i);
}
#define bs_strnlen(run, text, most) ((__u64)gbs_strnlen((__u64)(run), (__u64)(text), (__u64)(most)))

#define bs_strlen(run, text) bs_strnlen(run, text, ~0ULL)

BS_INLINE int bs_lower(int c)
{
	return (unsigned)c - 'A' < 26 ? c | 32 : c;
}

BS_FUNCTION __u64 gbs_compare(__u64 run_, __u64 a_, __u64 b_, __u64 most_, __u64 fold_)
{
	bs_t run = (bs_t)run_;
	const char __arena *a = (const char __arena *)a_;
	const char __arena *b = (const char __arena *)b_;
	__u64 most = (__u64)most_;
	int fold = (int)fold_;
	bs_in p = (bs_in)a, q = (bs_in)b;
	__u64 i = run->zero;

	while (BS_ANY(run, i) < most && BS_MORE(run)) {
		int c = *BS_AT(run, p + i), d = *BS_AT(run, q + i);

		if (fold)
			c = bs_lower(c), d = bs_lower(d);
		if (c != d)
			return (__u64)(c < d ? -1 : 1);
		if (!c)
			return (__u64)(0);
		i++;
	}
	return (__u64)(0);
}
#define bs_compare(run, a, b, most, fold) ((int)gbs_compare((__u64)(run), (__u64)(a), (__u64)(b), (__u64)(most), (__u64)(fold)))

#define bs_strcmp(run, a, b) bs_compare(run, a, b, ~0ULL, 0)
#define bs_strncmp(run, a, b, most) bs_compare(run, a, b, most, 0)
#define bs_strcasecmp(run, a, b) bs_compare(run, a, b, ~0ULL, 1)
#define bs_strncasecmp(run, a, b, most) bs_compare(run, a, b, most, 1)

BS_INLINE char __arena *bs_strcpy(bs_t run, char __arena *to, const char __arena *from)
{
	bs_memmove(run, to, from, bs_strlen(run, from) + 1);
	return to;
}

BS_INLINE char __arena *bs_stpcpy(bs_t run, char __arena *to, const char __arena *from)
{
	__u64 bytes = bs_strlen(run, from);

	bs_memmove(run, to, from, bytes + 1);
	return to + bytes;
}

BS_INLINE char __arena *bs_strncpy(bs_t run, char __arena *to, const char __arena *from, __u64 most)
{
	__u64 bytes = bs_strnlen(run, from, most);

	bs_memmove(run, to, from, bytes);
	bs_memset(run, to + bytes, 0, most - bytes);
	return to;
}

BS_INLINE char __arena *bs_strcat(bs_t run, char __arena *to, const char __arena *from)
{
	bs_strcpy(run, to + bs_strlen(run, to), from);
	return to;
}

BS_INLINE char __arena *bs_strncat(bs_t run, char __arena *to, const char __arena *from, __u64 most)
{
	char __arena *end = to + bs_strlen(run, to);
	__u64 bytes = bs_strnlen(run, from, most);

	bs_memmove(run, end, from, bytes);
	bs_memset(run, end + bytes, 0, 1);
	return to;
}

BS_INLINE __u64 bs_strlcpy(bs_t run, char __arena *to, const char __arena *from, __u64 most)
{
	__u64 bytes = bs_strlen(run, from), kept = bytes < most ? bytes : most - 1;

	if (most) {
		bs_memmove(run, to, from, kept);
		bs_memset(run, to + kept, 0, 1);
	}
	return bytes;
}

BS_FUNCTION __u64 gbs_strchr(__u64 run_, __u64 text_, __u64 c_)
{
	bs_t run = (bs_t)run_;
	const char __arena *text = (const char __arena *)text_;
	int c = (int)c_;
	while (BS_MORE(run)) {
		BS_ANY(run, text);
		if (*BS_AT(run, text) == (char)c)
			return (__u64)((char __arena *)text);
		if (!*text)
			return (__u64)(0);
		text++;
	}
	return (__u64)(0);
}
#define bs_strchr(run, text, c) ((char __arena *)gbs_strchr((__u64)(run), (__u64)(text), (__u64)(c)))

BS_INLINE char __arena *bs_strrchr(bs_t run, const char __arena *text, int c)
{
	return bs_memrchr(run, text, c, bs_strlen(run, text) + 1);
}

BS_FUNCTION __u64 gbs_strstr(__u64 run_, __u64 text_, __u64 part_)
{
	bs_t run = (bs_t)run_;
	const char __arena *text = (const char __arena *)text_;
	const char __arena *part = (const char __arena *)part_;
	__u64 bytes = bs_strlen(run, part);

	while (BS_MORE(run)) {
		BS_ANY(run, text);
		if (!bs_compare(run, text, part, bytes, 0))
			return (__u64)((char __arena *)text);
		if (!*BS_AT(run, text))
			return (__u64)(0);
		text++;
	}
	return (__u64)(0);
}
#define bs_strstr(run, text, part) ((char __arena *)gbs_strstr((__u64)(run), (__u64)(text), (__u64)(part)))

BS_FUNCTION __u64 gbs_span(__u64 run_, __u64 text_, __u64 set_, __u64 in_)
{
	bs_t run = (bs_t)run_;
	const char __arena *text = (const char __arena *)text_;
	const char __arena *set = (const char __arena *)set_;
	int in = (int)in_;
	__u64 i = run->zero;

	while (BS_MORE(run)) {
		char c = *BS_AT(run, text + BS_ANY(run, i));

		if (!c || !!bs_strchr(run, set, c) != in)
			return (__u64)(i);
		i++;
	}
	return (__u64)(i);
}
#define bs_span(run, text, set, in) ((__u64)gbs_span((__u64)(run), (__u64)(text), (__u64)(set), (__u64)(in)))

#define bs_strspn(run, text, set) bs_span(run, text, set, 1)
#define bs_strcspn(run, text, set) bs_span(run, text, set, 0)

BS_INLINE int bs_isspace(bs_t run, int c)
{
	return c == ' ' || (unsigned)c - '\t' < 5;
}
BS_INLINE int bs_isdigit(bs_t run, int c)
{
	return (unsigned)c - '0' < 10;
}
BS_INLINE int bs_isupper(bs_t run, int c)
{
	return (unsigned)c - 'A' < 26;
}
BS_INLINE int bs_islower(bs_t run, int c)
{
	return (unsigned)c - 'a' < 26;
}
BS_INLINE int bs_isalpha(bs_t run, int c)
{
	return ((unsigned)c | 32) - 'a' < 26;
}
BS_INLINE int bs_isalnum(bs_t run, int c)
{
	return bs_isalpha(run, c) || bs_isdigit(run, c);
}
BS_INLINE int bs_isxdigit(bs_t run, int c)
{
	return bs_isdigit(run, c) || ((unsigned)c | 32) - 'a' < 6;
}
BS_INLINE int bs_isprint(bs_t run, int c)
{
	return (unsigned)c - 0x20 < 0x5f;
}
BS_INLINE int bs_isgraph(bs_t run, int c)
{
	return (unsigned)c - 0x21 < 0x5e;
}
BS_INLINE int bs_iscntrl(bs_t run, int c)
{
	return (unsigned)c < 0x20 || c == 0x7f;
}
BS_INLINE int bs_ispunct(bs_t run, int c)
{
	return bs_isgraph(run, c) && !bs_isalnum(run, c);
}
BS_INLINE int bs_isblank(bs_t run, int c)
{
	return c == ' ' || c == '\t';
}
BS_INLINE int bs_toupper(bs_t run, int c)
{
	return bs_islower(run, c) ? c & 0x5f : c;
}
BS_INLINE int bs_tolower(bs_t run, int c)
{
	return bs_isupper(run, c) ? c | 32 : c;
}
BS_INLINE int bs_abs(bs_t run, int value)
{
	return value < 0 ? -value : value;
}

#define bs_htons(run, value) ((__u16)__builtin_bswap16(value))
#define bs_ntohs bs_htons
#define bs_htonl(run, value) ((__u32)__builtin_bswap32(value))
#define bs_ntohl bs_htonl

/* strtoul and its relatives. A number that does not fit sets errno, which the user half has: handed over. */
BS_FUNCTION __u64 gbs_number(__u64 run_, __u64 text_, __u64 end_, __u64 base_, __u64 most_)
{
	bs_t run = (bs_t)run_;
	const char __arena *text = (const char __arena *)text_;
	char __arena *__arena *end = (char __arena *__arena *)end_;
	int base = (int)base_;
	__u64 most = (__u64)most_;
	const char __arena *start = text;
	int negative = 0, digits = run->zero;
	__u64 value = run->zero;

	if (base != 0 && (base < 2 || base > 36))
		return (__u64)(bs_over(run, BS_LIBRARY));
	while (BS_ANY(run, text), bs_isspace(run, *BS_AT(run, text)) && BS_MORE(run))
		text++;
	if (*BS_AT(run, text) == '-' || *text == '+')
		negative = *text++ == '-';
	if ((base == 0 || base == 16) && *BS_AT(run, text) == '0' && (*BS_AT(run, text + 1) | 32) == 'x' &&
	    bs_isxdigit(run, *BS_AT(run, text + 2)))
		text += 2, base = 16;
	if (base == 0)
		base = *BS_AT(run, text) == '0' ? 8 : 10;
	while (BS_MORE(run)) {
		int c = bs_tolower(run, *BS_AT(run, BS_ANY(run, text)));
		unsigned digit = bs_isdigit(run, c) ? c - '0' : bs_islower(run, c) ? c - 'a' + 10 : 99;

		if (digit >= (unsigned)base)
			break;
		if (value > (most - digit) / base)
			return (__u64)(bs_over(run, BS_LIBRARY));
		value = BS_ANY(run, value) * base + digit;
		text++;
		digits = 1;
	}
	if (end)
		*BS_WRITE(run, end) = (char __arena *)(digits ? text : start);
	return (__u64)(negative ? -value : value);
}
#define bs_number(run, text, end, base, most) ((__u64)gbs_number((__u64)(run), (__u64)(text), (__u64)(end), (__u64)(base), (__u64)(most)))

#define BS_MOST_SIGNED 0x7fffffffffffffffULL
#define bs_strtoul(run, text, end, base) bs_number(run, text, end, base, ~0ULL)
#define bs_strtoull bs_strtoul
#define bs_strtol(run, text, end, base) ((__s64)bs_number(run, text, end, base, BS_MOST_SIGNED))
#define bs_strtoll bs_strtol
#define bs_atol(run, text) bs_strtol(run, text, (char __arena *__arena *)0, 10)
#define bs_atoll bs_atol
#define bs_atoi(run, text) ((int)bs_number(run, text, (char __arena *__arena *)0, 10, 0x7fffffff))

/* --- snprintf, one call for each part of the format ------------------------------------------------------------------- */
BS_INLINE void bs_put(bs_t run, struct bs_print __arena *print, char c)
{
	BS_ANY(run, print->bytes);
	if (print->bytes + 1 < print->room)
		*BS_WRITE(run, (char __arena *)(print->to + print->bytes)) = c;
	print->bytes++;
}

/* `bytes` of text, as many as there is room for. */
BS_FUNCTION __u64 gbs_put_bytes(__u64 run_, __u64 print_, __u64 text, __u64 bytes)
{
	bs_t run = (bs_t)run_;
	struct bs_print __arena *print = (struct bs_print __arena *)print_;
	__u64 fits = print->bytes + 1 < print->room ? print->room - 1 - print->bytes : 0;

	if (fits)
		bs_memmove(run, print->to + print->bytes, text, bytes < fits ? bytes : fits);
	print->bytes += bytes;
	return 0;
}
#define bs_put_bytes(run, print, text, bytes) gbs_put_bytes((__u64)(run), (__u64)(print), (__u64)(text), bytes)

BS_FUNCTION __u64 gbs_put_many(__u64 run_, __u64 print_, __u64 c, __u64 times)
{
	bs_t run = (bs_t)run_;

	for (; BS_ANY(run, times) && BS_MORE(run); times--)
		bs_put(run, (struct bs_print __arena *)print_, c);
	return 0;
}

#define BS_LEFT 1
#define BS_ZEROS 2
#define BS_UPPER 4
#define BS_NEGATIVE 8

/* `width` counts characters; `precision` is -1 where there is none. */
BS_FUNCTION __u64 gbs_put_text(__u64 run_, __u64 print, __u64 text, __u64 how, __u64 precision)
{
	bs_t run = (bs_t)run_;
	int width = how >> 32;
	__u64 bytes = (int)precision < 0 ? bs_strlen(run, text) : bs_strnlen(run, text, (__u64)(int)precision);
	__u64 pad = width > 0 && width > (__s64)bytes ? width - bytes : 0;

	if (!(how & BS_LEFT))
		gbs_put_many(run_, print, ' ', pad);
	gbs_put_bytes(run_, print, text, bytes);
	if (how & BS_LEFT)
		gbs_put_many(run_, print, ' ', pad);
	return 0;
}
#define BS_HOW(width, flags) ((__u64)(__u32)(width) << 32 | (flags))
#define bs_put_text(run, print, text, width, precision, flags)                                       \
	gbs_put_text((__u64)(run), (__u64)(print), (__u64)(text), BS_HOW(width, flags), (__u64)(precision))

BS_FUNCTION __u64 gbs_put_number(__u64 run_, __u64 print_, __u64 value, __u64 base, __u64 how)
{
	bs_t run = (bs_t)run_;
	struct bs_print __arena *print = (struct bs_print __arena *)print_;
	__u64 rest = value, digits = 1 + run->zero, scale = 1 + run->zero, pad;
	int width = how >> 32;

	while (BS_ANY(run, rest) >= base && BS_MORE(run)) {
		rest /= base;
		digits = BS_ANY(run, digits) + 1;
		scale = BS_ANY(run, scale) * base;
	}
	if (how & BS_NEGATIVE)
		digits++;
	pad = width > 0 && width > (__s64)digits ? width - digits : 0;
	if (!(how & (BS_LEFT | BS_ZEROS)))
		gbs_put_many(run_, print_, ' ', pad);
	if (how & BS_NEGATIVE)
		bs_put(run, print, '-');
	if ((how & (BS_LEFT | BS_ZEROS)) == BS_ZEROS)
		gbs_put_many(run_, print_, '0', pad);
	while (BS_ANY(run, scale) && BS_MORE(run)) {
		unsigned digit = value / scale % base;

		bs_put(run, print, digit < 10 ? '0' + digit : (how & BS_UPPER ? 'A' : 'a') + digit - 10);
		scale /= base;
	}
	if (how & BS_LEFT)
		gbs_put_many(run_, print_, ' ', pad);
	return 0;
}
#define bs_put_number(run, print, value, base, width, flags)                                         \
	gbs_put_number((__u64)(run), (__u64)(print), value, base, BS_HOW(width, flags))

BS_INLINE void bs_put_signed(bs_t run, struct bs_print __arena *print, __s64 value, int width, __u64 flags)
{
	bs_put_number(run, print, value < 0 ? -(__u64)value : (__u64)value, 10, width, flags | (value < 0 ? BS_NEGATIVE : 0));
}

BS_INLINE int bs_put_end(bs_t run, struct bs_print __arena *print)
{
	if (print->room)
		*BS_WRITE(run, (char __arena *)(print->to + (print->bytes < print->room ? print->bytes : print->room - 1))) = 0;
	return print->bytes;
}
