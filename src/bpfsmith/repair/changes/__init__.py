"""Changes to C that may satisfy the verifier, by what they are about."""
