"""What is probably wrong with a library: labels, artists, copies, sound. Nothing is changed."""
