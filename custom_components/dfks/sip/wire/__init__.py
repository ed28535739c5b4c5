"""SIP messages as octets: what stands in them, and how they are changed."""
