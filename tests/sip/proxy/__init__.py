"""What is passed between phones and a PBX, seen from both sides."""
