# SPDX-License-Identifier: Apache-2.0
"""samples.py - medians, spreads, and when a difference is one."""
import statistics


ROUNDS_MIN = 4  # for a difference to be one


def rotated(items, round_number):
    """In the order of a round: each begins in turn, or the same would always run after the
    same, and find the machine as that left it."""
    begin = round_number % len(items) if items else 0
    return items[begin:] + items[:begin]


class Column:
    """The values of one figure over the rounds."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.low = min(self.values)
        self.high = max(self.values)

    def as_dict(self):
        return {"median": self.median, "min": self.low, "max": self.high, "values": self.values}


class Ratio:
    """One program beside another: the ratio within each round, in which both ran right
    after each other, so that what changes slowly on the machine drops out.

    The median of the ratios is the figure and their range is the spread. Where the range
    contains 1, some rounds favour the one and some the other: that is a tie. Few rounds
    agree by chance (two do so every second time), so they say nothing; nor do those that
    others disturbed, where they are told of.
    """

    def __init__(self, ours, theirs, disturbed=None):
        rounds = [(our / their, bool(disturbed and disturbed[i]))
                  for i, (our, their) in enumerate(zip(ours, theirs)) if their > 0]
        good = [ratio for ratio, is_disturbed in rounds if not is_disturbed]
        self.few = len(good) < ROUNDS_MIN
        ratios = [ratio for ratio, _ in rounds] if self.few else good
        self.median = statistics.median(ratios) if ratios else float("nan")
        self.low = min(ratios, default=float("nan"))
        self.high = max(ratios, default=float("nan"))
        self.tie = self.few or self.low <= 1 <= self.high

    def as_dict(self):
        return {"median": self.median, "min": self.low, "max": self.high, "tie": self.tie,
                "few": self.few}

    def text(self):
        return f"{self.median:.2f}" + (" few" if self.few else " tie" if self.tie else "")
