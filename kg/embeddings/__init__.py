"""What pretrained networks hear in a song."""
