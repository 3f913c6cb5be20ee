"""What may be wrong in a library: labels, artists, copies, broken audio."""
