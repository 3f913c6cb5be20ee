"""Folders that are watched: what arrives, moves or goes there is followed in the library."""
