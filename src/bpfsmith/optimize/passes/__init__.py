"""Transformations of a function's graph. None of them is trusted: what comes out is proved against what went in."""
