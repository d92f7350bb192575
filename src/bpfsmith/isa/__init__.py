"""The eBPF instruction set (RFC 9669 and the kernel's extensions): what a program is."""
