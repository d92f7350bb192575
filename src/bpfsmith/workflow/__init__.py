"""Opens any input and wires the steps together: what the command line and the Python API call."""
