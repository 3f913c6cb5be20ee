"""Models and representations measured side by side on the same songs."""
