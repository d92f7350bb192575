"""A language model as one more proposer: its candidates go through the gate like all others."""
