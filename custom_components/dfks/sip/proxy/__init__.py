"""What is passed between phones and a PBX, and what is learned from it."""
