"""What the columns of a table of epochs mean, for a reader who sees them for the first time."""

from __future__ import annotations

WORDS = {
    "delivered": "batches that the model was given",
    "unique": "how many of them were different",
    "ratio": "unique / delivered: 1.00 where no batch came twice",
    "new": "different batches that no earlier epoch had: 0 is right where nothing is augmented",
    "samples": "different samples / delivered samples",
    "coverage": "how many of the stored samples were seen",
    "seed divergence": "share of workers whose random states differ at the same step: 1.00 all, 0.00 none",
    "workers": "workers that made batches / workers that there should be",
    "produced": "batches that were made, and how many more than were delivered",
    "probes": "batches that a framework made only to look at them",
}
