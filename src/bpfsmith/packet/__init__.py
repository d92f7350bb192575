"""Packets: what their headers are, how to make believable ones, and how to show them."""
