"""What comes into the graph: songs from audio, tables and vectors, and playlists."""
