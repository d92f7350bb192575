"""Instructions with meaning: ops in a control-flow graph, the level at which every analysis works."""
