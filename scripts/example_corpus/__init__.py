"""The parts of the example corpus that are drawn or typeset, one document family a file."""
