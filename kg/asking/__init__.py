"""Answers about single songs: their genres and why, what is like them, what is in their files."""
