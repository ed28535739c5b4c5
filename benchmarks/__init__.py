"""What the integration costs, beside bare asyncio and, where installed, kamailio.

`benchmarks/run` prints the table. `serve` and `bare` are the servers that it starts,
`phones` the load generator with the `messages` that it writes and reads, `listener` a
browser's ear, `processes` starts, pins and meters them, `headless`, `home_assistant` and
`kamailio` hold the measurements, `bare_entities` is what Home Assistant is measured
beside, and `table` has what is to be reached and prints it. `hostile` and `inside` are
run by themselves.
"""
