"""Who a request is from, and who may try: digest, accounts, limits."""
