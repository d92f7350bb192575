// The verdict and counts of every program of some objects, from libbpf alone; where one is refused, each is loaded by itself.
// One line a program: path, program, 1 if accepted, processed insns, total states, peak states. `open` in the place of the
// program's name: libbpf does not open the file.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES (1 << 16)

static int silent(enum libbpf_print_level level, const char *format, va_list rest)
{
	return 0;
}

static void prepare(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		bpf_map__set_pin_path(map, NULL);
		if (!bpf_map__max_entries(map) && bpf_map__type(map) != BPF_MAP_TYPE_SK_STORAGE &&
		    bpf_map__type(map) != BPF_MAP_TYPE_TASK_STORAGE && bpf_map__type(map) != BPF_MAP_TYPE_INODE_STORAGE &&
		    bpf_map__type(map) != BPF_MAP_TYPE_CGRP_STORAGE)
			bpf_map__set_max_entries(map, 1);
	}
}

static void tell(const char *path, struct bpf_program *program, int accepted)
{
	unsigned insns = 0, states = 0, peak = 0;
	size_t size;
	const char *log = bpf_program__log_buf(program, &size), *counts = log ? strstr(log, "processed ") : NULL;

	if (counts)
		sscanf(counts, "processed %u insns (limit %*u) max_states_per_insn %*u total_states %u peak_states %u", &insns, &states,
		       &peak);
	printf("%s\t%s\t%d\t%u\t%u\t%u\n", path, bpf_program__name(program), accepted, insns, states, peak);
}

/* Loads all programs of an object (`name` NULL), or one; 0 where libbpf does not load all that it should. */
static int loaded(const char *path, const char *name)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	int accepted;

	if (!object)
		return 0;
	prepare(object);
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, !name || !strcmp(bpf_program__name(program), name));
		bpf_program__set_log_level(program, 4);
		bpf_program__set_log_buf(program, calloc(1, LOG_BYTES), LOG_BYTES);
	}
	accepted = !bpf_object__load(object);
	bpf_object__for_each_program(program, object)
		if (name ? !strcmp(bpf_program__name(program), name) : accepted)
			tell(path, program, accepted);
	bpf_object__close(object);
	return accepted;
}

int main(int count, char **paths)
{
	libbpf_set_print(silent);
	for (int at = 1; at < count; at++) {
		struct bpf_object *object = bpf_object__open_file(paths[at], NULL);
		struct bpf_program *program;

		if (!object) {
			printf("%s\topen\t0\t0\t0\t0\n", paths[at]);
			continue;
		}
		if (!loaded(paths[at], NULL)) /* one that is refused keeps the others from being loaded */
			bpf_object__for_each_program(program, object)
				loaded(paths[at], bpf_program__name(program));
		bpf_object__close(object);
	}
	return 0;
}
