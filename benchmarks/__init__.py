"""What the integration costs, beside bare asyncio and, where installed, kamailio.

`benchmarks/run` prints the table. `serve` and `echo` are the servers that it starts,
`phones` the load generator with the `messages` that it writes and reads, `processes`
starts, pins and meters them, `headless`, `home_assistant` and `kamailio` hold the
measurements, `limits` what is to be reached, and `table` prints it.
"""
