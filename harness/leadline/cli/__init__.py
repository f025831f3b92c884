"""The command line: parse, call once, print. The only room that wires the others together."""
