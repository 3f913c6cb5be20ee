"""What the graph network is measured against."""
