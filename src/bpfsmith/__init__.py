"""bpfsmith: state what you want, get eBPF that the kernel accepts and that is proved to mean it."""

__version__ = "0.1.0"
