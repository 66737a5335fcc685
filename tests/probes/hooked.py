"""What a probe says that is made without an audit around it."""

from __future__ import annotations

import json

from batchaudit.strategies import parse


class Probe:
    """What a probe needs of a job."""

    timeout = 60.0

    def __init__(self, plain):
        self.plain, self.recorder, self.hooks = plain, self, []

    def hook(self, text):
        self.hooks.append(text)


def told(probe, make):
    """The objects that a probe logs of a source."""
    job = Probe(make)
    probe.drive(job, parse("serial"))
    said = [text.partition(" ") for text in job.hooks]
    assert all(word == probe.NAME for word, _, _ in said)
    return [json.loads(outcome) for _, _, outcome in said]
