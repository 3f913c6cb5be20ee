"""Learning on heterogeneous graphs: encoder, decoder, training. Knows nothing of music."""
