"""Genres written into the tags of audio files: the only part of kg that changes a user's file."""
