"""The rules: what may enter the event store, decided without a clock, an environment or any I/O at check
time.

``load.load`` turns YAML into a ``Policy``; ``compile.compile_policy`` turns it into a ``Gate``;
``Gate.check`` decides. Nothing first-party outside this package is imported here, and no framework.
"""
