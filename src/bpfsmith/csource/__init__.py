"""C source through libclang: trees of functions, types and declarations that remember the user's lines."""
