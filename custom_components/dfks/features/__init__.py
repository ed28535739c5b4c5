"""The event package as-feature-event: model, documents, and the way of a change.

The middle floor: it knows the SIP floor below and lxml, and nothing of Home Assistant.
"""
