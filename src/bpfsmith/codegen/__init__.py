"""From C text to objects: the headers that generated code includes, and the compiler that is run on it."""
