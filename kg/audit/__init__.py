"""What may be wrong in a library: labels, copies, broken audio."""
