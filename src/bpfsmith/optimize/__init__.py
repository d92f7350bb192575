"""Makes programs smaller and faster: passes and rules over a control-flow graph, every result proved and loaded."""
