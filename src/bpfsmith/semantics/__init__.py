"""What programs do: one meaning over many domains, behaviours, and the equivalence check that compares them."""
