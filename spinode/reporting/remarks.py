"""Remarks and assessments: the graded sentences that a report consists of."""

from __future__ import annotations

from dataclasses import dataclass

#: Grades of a remark, best first: supports the model, for information, calls for caution, rules the model out.
GOOD, NOTE, CARE, BAD = 0, 1, 2, 3


@dataclass(frozen=True)
class Remark:
    """One sentence with its grade.

    Attributes:
        grade: GOOD, NOTE, CARE or BAD.
        text: The sentence.
        reason: The same in a few words, for the headline.
        after_change: True if the cause may be a change of the device during the recording; such a remark does not count
            against the model before the change.
        remedy: What to do about it, as a sentence with the command to type; empty where nothing is to be done.
    """

    grade: int
    text: str
    reason: str = ""
    after_change: bool = False
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """Return text and remedy."""
        return f"{self.text} {self.remedy}".rstrip()


@dataclass(frozen=True)
class Assessment:
    """The result of all checks of a model.

    Attributes:
        grade: GOOD, CARE or BAD.
        headline: One sentence that sums up the remarks.
        remarks: All remarks, worst first.

    Example:
        >>> Assessment(GOOD, "Trust it.", (Remark(NOTE, "It was fitted on one device."),)).sentences
        ['Trust it.', 'It was fitted on one device.']
    """

    grade: int
    headline: str
    remarks: tuple[Remark, ...]

    @property
    def sentences(self) -> list[str]:
        """Return the headline, and text and remedy of every remark."""
        return [self.headline, *(remark.sentence for remark in self.remarks)]
