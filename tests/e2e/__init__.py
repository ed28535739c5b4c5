"""The whole of it: a browser, Home Assistant and a simulated phone.

It is what `scripts/e2e` runs. `house` starts Home Assistant, `browser` knows its pages,
and `__main__` has the steps.
"""
