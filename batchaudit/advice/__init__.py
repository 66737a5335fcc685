"""Which strategy is worth its cost: what was measured and what was found in, a strategy with its reasons out.

To add a rule, add a `Reason` where its numbers are: what a batch is in `nature`, what a strategy can give at
most in `bounds`, which one is taken in `choice`.
"""

from batchaudit.advice.advise import advise
from batchaudit.advice.model import Advice, Compared, Costs, Option, Question, Reason, SourceAdvice

__all__ = ["Advice", "Compared", "Costs", "Option", "Question", "Reason", "SourceAdvice", "advise"]
