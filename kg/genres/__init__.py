"""Genres themselves: when two names are one, what is a kind of what, which ones are proposed."""
