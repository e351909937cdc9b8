"""What the right answer to a case is, as a rule that a number either keeps or breaks.

On the common scale t: 0 = two samples of one distribution at 1,000 a side, 1 = plainly different sets (see `worlds`).
A tenth of that way is what counts as "different".
"""

from __future__ import annotations

from dataclasses import dataclass

TENTH = 0.1
NOT_FARTHER = 1.0
SAME_WORDS = frozenset({"indistinguishable", "not distinguishable"})
REFUSALS = frozenset({"unreliable", "unresolved at this n"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Right where least <= t <= most; with a control, t is the difference to the control's t.

    same: whether the verdict in words may say that the sets are the same (None: words are not judged).
    """

    words: str
    least: float
    most: float
    same: bool | None

    def kept(self, t: float) -> bool:
        return self.least <= t <= self.most

    def kept_in_words(self, verdicts: list[str], p_values: list[float]) -> bool | None:
        """Of most repeats. Where sets are the same: so said, or judgement refused at this n. Where they differ: not
        called the same, and where judgement is refused p at most 0.05."""
        if self.same is None:
            return None
        right = [self._right(word, p) for word, p in zip(verdicts, p_values, strict=True)]
        return 2 * sum(right) > len(right)

    def _right(self, verdict: str, p: float) -> bool:
        if self.same:
            return verdict in SAME_WORDS | REFUSALS
        return p <= 0.05 if verdict in REFUSALS else verdict not in SAME_WORDS


INFINITE = float("inf")
SAME = Rule("says same: |t| ≤ 0.1", -TENTH, TENTH, True)
NO_FARTHER = Rule("says same or closer: t ≤ 0.1", -INFINITE, TENTH, True)
FLAG = Rule("says different: t ≥ 0.1", TENTH, INFINITE, False)
BETWEEN = Rule("says different, less than frogs from ships: 0.1 ≤ t ≤ 1", TENTH, NOT_FARTHER, False)
FARTHER = Rule("says farther than frogs from ships: t ≥ 1", NOT_FARTHER, INFINITE, False)
AS_CONTROL = Rule("moves by ≤ 0.1 when fresh images take the copies' place", -TENTH, TENTH, None)
