"""The `kg` command: parses, calls `kg.library` and prints."""
