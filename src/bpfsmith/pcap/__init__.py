"""Packet filters in pcap syntax, a small language of its own: what matches passes, all else is dropped (XDP).

    syntax     text to a tree, errors at their place
    meaning    the tree as plain instructions: what the filter means, said as simply as can be
    lower      the tree as C, which clang makes fast

The proof of the C's bytecode against the meaning is the engine's; neither of the two knows the other.
"""
