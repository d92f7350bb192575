"""Rejected programs: why, at which line of the source, and changes that the verifier accepts."""
