"""What is known of phones: who is there, who tried, and what to type into them."""
