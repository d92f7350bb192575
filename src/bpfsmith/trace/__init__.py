"""Entry and exit probes as one unit: pairs found in objects, fused, and written in a language of their own."""
