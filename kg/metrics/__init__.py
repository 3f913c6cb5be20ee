"""What scores are worth: metrics with their uncertainty, and what a model has to beat."""
