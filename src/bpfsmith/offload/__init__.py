"""Splitting a C server: what can answer in the kernel, the two halves, and whether it pays."""
