"""What is shown of SIP messages, and what must not be."""
