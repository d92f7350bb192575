/* The only process of a guest: replays the bpf(2) calls of /plan, tells what came of each on the second serial line, and
 * powers off. Built static; plan.py says what a plan is.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

enum op { OP_BTF = 1, OP_MAP, OP_PUT, OP_PROG, OP_CLOSE, OP_TYPES, OP_ATTACH, OP_WORK, OP_READ };
enum link { BY_TYPE = 1, BY_SYMBOL };
enum fixup { FIX_MAP = 1, FIX_KFUNC, FIX_VARIABLE, FIX_ADDRESS };
enum { SLOTS = 1024, NONE = 0xffffffff, WEAK = 1, POISONED = 2002000000, LONG_LOG = 20000 };

static const unsigned char *plan, *plan_end;
static unsigned char *types;
static long types_size;
static char *symbols;
static int btf_fds[SLOTS], map_fds[SLOTS], prog_fds[SLOTS], link_fds[SLOTS], out;

static void say(const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		ssize_t written = write(out, at, size);
		if (written <= 0)
			return;
		at += written;
		size -= written;
	}
}

static void die(const char *why)
{
	char line[128];
	say(line, snprintf(line, sizeof(line), "FAULT %s\n", why));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static uint32_t u32(void)
{
	uint32_t value;
	if (plan + 4 > plan_end)
		die("the plan ends too early");
	memcpy(&value, plan, 4);
	plan += 4;
	return value;
}

static uint64_t u64(void)
{
	uint64_t low = u32();
	return low | (uint64_t)u32() << 32;
}

static const void *bytes(uint32_t *size)
{
	const void *at;
	*size = u32();
	at = plan + 0;
	if (*size > (size_t)(plan_end - plan))
		die("the plan ends too early");
	plan += *size;
	return *size ? at : NULL;
}

static uint32_t slot(void)
{
	uint32_t found = u32();
	if (found != NONE && found >= SLOTS)
		die("too many maps");
	return found;
}

static unsigned char *read_file(const char *path, long *size)
{
	long room = 1 << 20, have = 0;
	unsigned char *data = malloc(room);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || !data)
		return NULL;
	for (;;) {
		long got = read(fd, data + have, room - have - 1);
		if (got <= 0)
			break;
		have += got;
		if (room - have < 4096 && !(data = realloc(data, room *= 2)))
			return NULL;
	}
	close(fd);
	data[have] = 0;
	*size = have;
	return data;
}

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

/* The id of the first type of this kind and name in the kernel's BTF, 0 when there is none. */
static uint32_t type_id(uint32_t kind, const char *name)
{
	const struct btf_header *header = (void *)types;
	const unsigned char *at, *end;
	const char *strings;
	uint32_t id = 0;

	if (!types)
		return 0;
	at = types + header->hdr_len + header->type_off;
	end = at + header->type_len;
	strings = (char *)types + header->hdr_len + header->str_off;
	while (at < end) {
		const struct btf_type *type = (void *)at;
		uint32_t vlen = type->info & 0xffff, this = type->info >> 24 & 0x1f;
		id++;
		if (this == kind && !strcmp(strings + type->name_off, name))
			return id;
		at += sizeof(*type);
		switch (this) {
		case BTF_KIND_INT: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG: at += 4; break;
		case BTF_KIND_ARRAY: at += 12; break;
		case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case BTF_KIND_ENUM64: at += 12 * vlen; break;
		case BTF_KIND_ENUM: case BTF_KIND_FUNC_PROTO: at += 8 * vlen; break;
		}
	}
	return 0;
}

/* The index of a member of a struct of the kernel's, NONE when it lacks it. */
static uint32_t member_index(uint32_t wanted, const char *name)
{
	const struct btf_header *header = (void *)types;
	const unsigned char *at = types + header->hdr_len + header->type_off;
	const char *strings = (char *)types + header->hdr_len + header->str_off;
	uint32_t id;

	for (id = 1; ; id++) {
		const struct btf_type *type = (void *)at;
		uint32_t vlen = type->info & 0xffff, this = type->info >> 24 & 0x1f, i;
		if (id == wanted) {
			const struct btf_member *member = (void *)(type + 1);
			for (i = 0; i < vlen; i++)
				if (!strcmp(strings + member[i].name_off, name))
					return i;
			return NONE;
		}
		at += sizeof(*type);
		switch (this) {
		case BTF_KIND_INT: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG: at += 4; break;
		case BTF_KIND_ARRAY: at += 12; break;
		case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case BTF_KIND_ENUM64: at += 12 * vlen; break;
		case BTF_KIND_ENUM: case BTF_KIND_FUNC_PROTO: at += 8 * vlen; break;
		}
	}
}

static uint64_t address(const char *name)
{
	size_t length = strlen(name);
	char *line;
	long size;

	if (!symbols && !(symbols = (char *)read_file("/proc/kallsyms", &size)))
		return 0;
	for (line = symbols; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0) {
		char *found = line + 19;
		if (!strncmp(found, name, length) && (found[length] == '\n' || found[length] == '\t'))
			return strtoull(line, NULL, 16);
	}
	return 0;
}

static void do_btf(void)
{
	uint32_t at = slot(), count = u32(), size, i;

	btf_fds[at] = 0;
	for (i = 0; i < count; i++) {
		const void *data = bytes(&size);
		union bpf_attr attr = {};
		attr.btf = (uintptr_t)data;
		attr.btf_size = size;
		if (!btf_fds[at]) {
			long fd = bpf(BPF_BTF_LOAD, &attr);
			btf_fds[at] = fd > 0 ? fd : 0;
		}
	}
}

static void do_map(void)
{
	union bpf_attr attr = {};
	uint32_t at = slot(), inner, btf, size, freeze, key = 0, number = u32();
	char line[64];
	const void *name, *value;
	long fd;

	attr.map_type = u32();
	attr.key_size = u32();
	attr.value_size = u32();
	attr.max_entries = u32();
	attr.map_flags = u32();
	attr.map_extra = u64();
	inner = slot();
	btf = slot();
	attr.btf_key_type_id = u32();
	attr.btf_value_type_id = u32();
	name = bytes(&size);
	memcpy(attr.map_name, name, size > 15 ? 15 : size);
	value = bytes(&size);
	freeze = u32();
	attr.inner_map_fd = inner == NONE ? 0 : map_fds[inner];
	attr.btf_fd = btf == NONE ? 0 : btf_fds[btf];
	if (!attr.btf_fd)
		attr.btf_key_type_id = attr.btf_value_type_id = 0;
	fd = bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0 && attr.btf_fd) {
		attr.btf_fd = attr.btf_key_type_id = attr.btf_value_type_id = 0;
		fd = bpf(BPF_MAP_CREATE, &attr);
	}
	if (fd < 0 && attr.map_flags & BPF_F_MMAPABLE) { /* before 5.5 */
		attr.map_flags &= ~BPF_F_MMAPABLE;
		fd = bpf(BPF_MAP_CREATE, &attr);
	}
	map_fds[at] = fd;
	if (fd < 0) {
		say(line, snprintf(line, sizeof(line), "MAP %u %d\n", number, errno));
		return;
	}
	if (value) {
		union bpf_attr update = {};
		update.map_fd = fd;
		update.key = (uintptr_t)&key;
		update.value = (uintptr_t)value;
		bpf(BPF_MAP_UPDATE_ELEM, &update);
		if (freeze) {
			union bpf_attr frozen = {};
			frozen.map_fd = fd;
			bpf(BPF_MAP_FREEZE, &frozen);
		}
	}
}

static void do_put(void)
{
	uint32_t at = slot(), key = u32(), other = slot();
	union bpf_attr attr = {};
	attr.map_fd = map_fds[at];
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&map_fds[other];
	bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

static void missing(uint32_t number, const char *what)
{
	char line[256];
	say(line, snprintf(line, sizeof(line), "MISSING %u %s\n", number, what));
}

/* Fills in what only this kernel knows; 0 when a name that must be there is not. */
static int resolve(struct bpf_insn *insns, uint32_t count, uint32_t number)
{
	uint32_t fixups = u32(), i, size, good = 1;

	(void)count;
	for (i = 0; i < fixups; i++) {
		uint32_t kind = u32(), at = u32(), flags = u32(), arg = u32();
		const char *name = bytes(&size);
		struct bpf_insn *insn = &insns[at];
		uint64_t value;
		uint32_t id;
		switch (kind) {
		case FIX_MAP:
			if (map_fds[arg] < 0)
				good = 0;
			insn->imm = map_fds[arg];
			break;
		case FIX_KFUNC:
			id = type_id(BTF_KIND_FUNC, name);
			if (!id && flags & WEAK) {
				insn->src_reg = 0;
				id = POISONED;
			} else if (!id) {
				missing(number, name);
				good = 0;
			}
			insn->imm = id;
			break;
		case FIX_VARIABLE:
			id = type_id(arg, name);
			if (!id)
				insn->src_reg = 0;
			if (!id && !(flags & WEAK)) {
				missing(number, name);
				good = 0;
			}
			insn->imm = id;
			break;
		case FIX_ADDRESS:
			value = address(name);
			if (!value && !(flags & WEAK)) {
				missing(number, name);
				good = 0;
			}
			insn->src_reg = 0;
			insn[0].imm = value;
			insn[1].imm = value >> 32;
			break;
		}
	}
	return good;
}

static void do_prog(void)
{
	static char log[1 << 22], words[8192];
	uint32_t number = u32(), size, count, btf, kind, room, length, good, how;
	struct ran ran = {};
	union bpf_attr attr = {};
	struct bpf_prog_info info = {};
	struct timespec before, after;
	const char *name, *target, *member, *where, *counted;
	char line[160];
	long fd;
	int error;

	attr.prog_type = u32();
	attr.expected_attach_type = u32();
	attr.prog_flags = u32();
	attr.kern_version = u32();
	btf = slot();
	name = bytes(&size);
	memcpy(attr.prog_name, name, size > 15 ? 15 : size);
	attr.license = (uintptr_t)bytes(&size);
	attr.insns = (uintptr_t)bytes(&size);
	attr.insn_cnt = count = size / 8;
	good = resolve((void *)(uintptr_t)attr.insns, count, number);
	attr.func_info = (uintptr_t)bytes(&size);
	attr.func_info_cnt = size / 8;
	attr.func_info_rec_size = size ? 8 : 0;
	attr.line_info = (uintptr_t)bytes(&size);
	attr.line_info_cnt = size / 16;
	attr.line_info_rec_size = size ? 16 : 0;
	attr.core_relos = (uintptr_t)bytes(&size);
	attr.core_relo_cnt = size / 16;
	attr.core_relo_rec_size = size ? 16 : 0;
	kind = u32();
	target = bytes(&size);
	member = bytes(&size);
	how = u32();
	where = bytes(&size);
	attr.prog_btf_fd = btf == NONE ? 0 : btf_fds[btf];
	if (!attr.prog_btf_fd)
		attr.func_info_cnt = attr.line_info_cnt = attr.core_relo_cnt = 0;
	if (target) {
		attr.attach_btf_id = type_id(kind, target);
		if (!attr.attach_btf_id) {
			missing(number, target);
			return;
		}
		if (member && (attr.expected_attach_type = member_index(attr.attach_btf_id, member)) == NONE) {
			missing(number, member);
			return;
		}
	}
	if (!good) {
		missing(number, "a map or symbol");
		return;
	}
	attr.log_buf = (uintptr_t)log;
	attr.log_size = sizeof(log);
	attr.log_level = 4;
	log[0] = 0;
	clock_gettime(CLOCK_MONOTONIC, &before);
	fd = bpf(BPF_PROG_LOAD, &attr);
	error = fd < 0 ? errno : 0;
	if (fd < 0 && error == E2BIG && attr.core_relo_cnt) { /* before 5.17 */
		say(line, snprintf(line, sizeof(line), "NOCORE %u\n", number));
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	if (fd < 0) {
		size_t end = sizeof(log) - sizeof(words) - 1;
		int full;

		snprintf(words, sizeof(words), "%s", log);
		attr.log_level = 5;
		log[0] = 0;
		full = bpf(BPF_PROG_LOAD, &attr) < 0 && errno == ENOSPC;
		counted = strstr(log, "\nprocessed ");
		/* Before 5.18 the registers stand only in the log of all paths, which is too long for more than a few insns. */
		if (!full && !strstr(log, "; R") && (!counted || atol(counted + 11) < LONG_LOG)) {
			attr.log_level = 6;
			log[0] = 0;
			if (bpf(BPF_PROG_LOAD, &attr) < 0 && errno == ENOSPC) {
				attr.log_level = 5;
				log[0] = 0;
				bpf(BPF_PROG_LOAD, &attr);
			}
		}
		if (full) { /* before 6.4 it is the end of the log that is lost, which tells why */
			while (end && log[end] != '\n')
				end--;
			strcpy(log + end + 1, words);
		}
	} else {
		union bpf_attr ask = {};
		ask.info.bpf_fd = fd;
		ask.info.info_len = sizeof(info);
		ask.info.info = (uintptr_t)&info;
		bpf(BPF_OBJ_GET_INFO_BY_FD, &ask);
	}
	length = strnlen(log, sizeof(log));
	room = length > 300000 ? 300000 : length; /* the end tells what happened, and serial lines are slow */
	say(line, snprintf(line, sizeof(line), "PROG %u %d %ld %u %u %u\n", number, error,
			   (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000,
			   info.xlated_prog_len, info.jited_prog_len, room));
	say(log + length - room, room);
	say("\n", 1);
	if (fd >= 0 && how != NOT_AT_ALL) {
		tcdrain(out); /* what is known is told before it runs */
		ran = guest_run(fd, how, attr.expected_attach_type, where);
		say(line, snprintf(line, sizeof(line), "RAN %u %u %d %ld %u\n", number, ran.how, ran.error, ran.runs, ran.result));
	}
	if (fd >= 0 && number < SLOTS && how == NOT_AT_ALL)
		prog_fds[number] = fd; /* it may be attached by a later step */
	else if (fd >= 0)
		close(fd);
}

static void do_attach(void)
{
	uint32_t number = slot(), how = u32(), type = u32(), flags = u32(), size;
	const char *symbol = bytes(&size);
	union bpf_attr attr = {};
	uint64_t symbols_of[1] = { (uintptr_t)symbol };
	char line[64];
	long fd;

	if (how == BY_TYPE) {
		attr.raw_tracepoint.prog_fd = prog_fds[number];
		fd = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
	} else {
		attr.link_create.prog_fd = prog_fds[number];
		attr.link_create.attach_type = type;
		attr.link_create.kprobe_multi.flags = flags;
		attr.link_create.kprobe_multi.cnt = 1;
		attr.link_create.kprobe_multi.syms = (uintptr_t)symbols_of;
		fd = bpf(BPF_LINK_CREATE, &attr);
	}
	link_fds[number] = fd > 0 ? fd : 0;
	say(line, snprintf(line, sizeof(line), "ATTACHED %u %d\n", number, fd < 0 ? errno : 0));
}

/* So many system calls that fail and change nothing: each runs do_sys_openat2 once. */
static void do_work(void)
{
	uint32_t count = u32(), i;

	for (i = 0; i < count; i++)
		syscall(__NR_openat, AT_FDCWD, "/no/such/file", O_RDONLY, 0);
}

static void do_read(void)
{
	static unsigned char value[1 << 16];
	uint32_t at = slot(), size = u32(), key = 0;
	union bpf_attr attr = {};
	char line[64];

	attr.map_fd = map_fds[at];
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)value;
	if (size > sizeof(value) || bpf(BPF_MAP_LOOKUP_ELEM, &attr) < 0)
		size = 0;
	say(line, snprintf(line, sizeof(line), "DATA %u %u\n", at, size));
	say(value, size);
	say("\n", 1);
}

int main(int count, char **words)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct utsname names;
	struct termios raw;
	char line[160];
	long size;
	uint32_t op, i;

	if (count > 1 && !strcmp(words[1], "leave")) /* a process that only begins and ends */
		return 0;
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("p", "/proc", "proc", 0, "");
	mount("s", "/sys", "sysfs", 0, "");
	mount("d", "/dev", "devtmpfs", 0, "");
	mknod("/dev/ttyS1", S_IFCHR | 0600, makedev(4, 65));
	out = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	if (out >= 0 && !tcgetattr(out, &raw)) {
		cfmakeraw(&raw);
		cfsetspeed(&raw, B115200);
		tcsetattr(out, TCSANOW, &raw);
	}
	setrlimit(RLIMIT_MEMLOCK, &all);
	guest_network();
	uname(&names);
	types = read_file("/sys/kernel/btf/vmlinux", &types_size);
	say(line, snprintf(line, sizeof(line), "KERNEL %s\n", names.release));
	plan = read_file("/plan", &size);
	if (!plan)
		die("there is no plan");
	plan_end = plan + size;
	while (plan < plan_end) {
		switch (op = u32()) {
		case OP_BTF: do_btf(); break;
		case OP_MAP: do_map(); break;
		case OP_PUT: do_put(); break;
		case OP_PROG: do_prog(); break;
		case OP_TYPES:
			say(line, snprintf(line, sizeof(line), "TYPES %ld\n", types_size));
			say(types, types_size);
			say("\n", 1);
			break;
		case OP_ATTACH: do_attach(); break;
		case OP_WORK: do_work(); break;
		case OP_READ: do_read(); break;
		case OP_CLOSE:
			for (i = 0; i < SLOTS; i++) {
				if (link_fds[i] > 0)
					close(link_fds[i]);
				if (prog_fds[i] > 0)
					close(prog_fds[i]);
				link_fds[i] = prog_fds[i] = 0;
				if (map_fds[i] > 0)
					close(map_fds[i]);
				if (btf_fds[i] > 0)
					close(btf_fds[i]);
				map_fds[i] = btf_fds[i] = 0;
			}
			break;
		default: die("the plan has an unknown step");
		}
	}
	say("DONE\n", 5);
	tcdrain(out);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
