"""Times each strategy: the same machinery, with a stopwatch in place of the fingerprints.

`clock` drives one strategy for some seconds; `sending` times a batch on its way out of a worker process and
`together` two threads against one. What they see is logged beside the audit's own events, under names that no
report shows, so that the advice can be given again from the log.
"""

from batchaudit.timing.candidates import candidates
from batchaudit.timing.clocked import EPOCHS, clock
from batchaudit.timing.machine import cores, pair
from batchaudit.timing.sending import sending
from batchaudit.timing.stopwatch import Stopwatch
from batchaudit.timing.together import together

__all__ = ["EPOCHS", "Stopwatch", "candidates", "clock", "cores", "pair", "sending", "together"]
