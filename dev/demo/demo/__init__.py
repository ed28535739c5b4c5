"""The demo: a real Home Assistant with two phone lines and a simulated phone each.

It is what `scripts/develop` runs. `settings` says what is set up, `directory` prepares
a configuration directory, `processes` runs programs, `api` speaks to Home Assistant,
`installation` sets the integration up as a user would, and `__main__` ties them up.
"""
