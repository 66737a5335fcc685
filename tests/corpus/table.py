"""The table of outcomes, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.corpus.one import Outcome, Seen

_WIDTH = 34
_NOTHING = "-"


def table(outcomes: Sequence[Outcome]) -> str:
    """Both tables, the reasons of what is not right, and the figures in one closing line.

    Args:
        outcomes: of cases and of healthy loaders.
    """
    cases = [it for it in outcomes if it.expected is not None]
    healthy = [it for it in outcomes if it.expected is None]
    parts = []
    if cases:
        head = ("case", "framework", "expected", "found", "healthy twin", "")
        parts.append(_columns([head, *map(_case_row, cases)]))
    if healthy:
        parts.append(_columns([("healthy loader", "framework", "found", ""), *map(_healthy_row, healthy)]))
    wrong = [it for it in outcomes if not it.right]
    if wrong:
        parts.append("\n".join(["Not right:", *(f"  {it.id}: {'; '.join(it.reasons)}" for it in wrong)]))
    parts.append(figures(outcomes))
    return "\n\n".join(parts)


def figures(outcomes: Sequence[Outcome]) -> str:
    """How many are right, in one line.

    Args:
        outcomes: of cases and of healthy loaders.
    """
    cases = [it for it in outcomes if it.expected is not None]
    healthy = [it for it in outcomes if it.expected is None]
    counts = (
        (sum(it.named for it in cases), cases, "cases have their causes named and no other"),
        (sum(it.healthy.clean for it in cases), cases, "twins are clean"),
        (sum(it.healthy.clean for it in healthy), healthy, "healthy loaders are clean"),
        (sum(it.proof is not None for it in cases), cases, "proofs hold"),
    )
    return "; ".join(f"{count} of {len(of)} {what}" for count, of, what in counts if of) + "."


def differences(times: Sequence[Sequence[Outcome]]) -> list[str]:
    """What did not come out alike when the same cases ran several times.

    Args:
        times: the outcomes of each time, of the same cases in the same order.

    Returns:
        A line for each case whose findings, verdicts or rightness differ; one line for each that differs.
    """
    lines = []
    for same in zip(*times, strict=True):
        found = _unlike(_findings(it) for it in same)
        if found:
            lines.append(f"{same[0].id}: found {' / '.join(found)}")
        for who in ("sick", "healthy"):
            seen = [getattr(it, who) or Seen() for it in same]
            for cause in sorted(set().union(*(it.verdicts for it in seen))):
                verdicts = _unlike(it.verdicts.get(cause, _NOTHING) for it in seen)
                if verdicts:
                    lines.append(f"{same[0].id}, {who}: {cause} {' / '.join(verdicts)}")
    return lines


def _unlike(values: Iterable[str]) -> list[str]:
    all_of_them = list(values)
    return all_of_them if len(set(all_of_them)) > 1 else []


def _findings(outcome: Outcome) -> str:
    sick = _found(outcome.sick) + " | " if outcome.sick else ""
    return f"[{sick}{_found(outcome.healthy)}{'' if outcome.right else ' | not right'}]"


def _case_row(outcome: Outcome) -> tuple[str, ...]:
    expected = ", ".join(outcome.expected or ()) or "nothing"
    may_be = f" ({', '.join(outcome.allowed)})" if outcome.allowed else ""
    return (
        f"{outcome.id} {outcome.what}",
        outcome.framework,
        expected + may_be,
        _found(outcome.sick),
        _found(outcome.healthy),
        _mark(outcome),
    )


def _healthy_row(outcome: Outcome) -> tuple[str, ...]:
    return (f"{outcome.id} {outcome.what}", outcome.framework, _found(outcome.healthy), _mark(outcome))


def _mark(outcome: Outcome) -> str:
    return "right" if outcome.right else "FAILS"


def _found(seen: Seen | None) -> str:
    if seen is None:
        return _NOTHING
    if seen.trouble:
        return "no audit"
    of_cause = [f"{cause} ({severity})" for cause, severity in sorted(seen.findings.items())]
    return ", ".join(of_cause) or "nothing"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    wrapped = [[_wrapped(cell) for cell in row] for row in rows]
    widths = [max(len(line) for row in wrapped for line in row[column]) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(wrapped):
        for at in range(max(len(cell) for cell in row)):
            cells = [cell[at] if at < len(cell) else "" for cell in row]
            lines.append(
                "  ".join(f"{text:<{width}}" for text, width in zip(cells, widths, strict=True)).rstrip()
            )
        if number == 0:
            lines.append("  ".join("-" * width for width in widths).rstrip())
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
