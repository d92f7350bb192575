"""BPF object files: programs, maps, data sections, BTF and relocations, as libbpf understands them."""
