// The verdict and counts of every program of some objects, from libbpf alone: opened once a program, with only that one loaded.
// One line a program: path, program, 1 if accepted, processed insns, total states, peak states. `open` in the place of the
// program's name: libbpf does not open the file.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char log_text[1 << 20];

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

static void one(const char *path, const char *name)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	unsigned insns = 0, states = 0, peak = 0;
	struct bpf_program *program;

	if (!object)
		return;
	log_text[0] = 0;
	prepare(object);
	bpf_object__for_each_program(program, object) {
		int chosen = !strcmp(bpf_program__name(program), name);
		bpf_program__set_autoload(program, chosen);
		if (chosen) {
			bpf_program__set_log_level(program, 4);
			bpf_program__set_log_buf(program, log_text, sizeof(log_text));
		}
	}
	int failed = bpf_object__load(object);
	const char *counts = strstr(log_text, "processed ");
	if (counts)
		sscanf(counts, "processed %u insns (limit %*u) max_states_per_insn %*u total_states %u peak_states %u", &insns, &states,
		       &peak);
	printf("%s\t%s\t%d\t%u\t%u\t%u\n", path, name, !failed, insns, states, peak);
	bpf_object__close(object);
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
		bpf_object__for_each_program(program, object)
			one(paths[at], bpf_program__name(program));
		bpf_object__close(object);
	}
	return 0;
}
