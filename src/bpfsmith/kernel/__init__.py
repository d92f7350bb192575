"""The running kernel as an oracle: load, run, measure and inspect programs through bpf(2)."""
