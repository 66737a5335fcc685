"""Faults done on purpose to real processes and real files: `python -m tests.faults NAME` runs one at full size.

The tests beside each experiment run the same thing small.
"""
