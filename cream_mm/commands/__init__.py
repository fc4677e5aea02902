"""The command lines: a module each, which parses its arguments before it imports what is heavy."""
