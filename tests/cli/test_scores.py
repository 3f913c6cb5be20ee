"""What stands below the table of songs that have several genres."""

from dataclasses import replace

import pytest

from cli.scores import print_several
from kg.metrics.evaluate import Estimate
from kg.metrics.several import SeveralScore

HALF = Estimate(0.5, 0.4, 0.6)
OURS = SeveralScore("R-GCN", HALF, HALF, HALF, HALF, HALF, None, -1.234, True)


@pytest.mark.parametrize(
    ("threshold", "fitted", "said"),
    [
        (-1.234, True, "set on validation songs for every row in the same way (R-GCN: -1.23)."),
        (0.0, False, "above 0, in every row: no threshold was set on validation songs."),
        (0.8, None, "above 0; R-GCN's above 0.80, set on validation songs: an older kg set only"),
        (0.0, None, "above 0, in every row: no threshold was set on validation songs."),
    ],
)
def test_the_footnote_says_what_was_done(
    threshold: float, fitted: bool | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = replace(OURS, threshold=threshold, fitted=fitted)
    print_several([ours, replace(ours, name="SVM", threshold=0.0)], "several genres a song")
    *_, footnote = capsys.readouterr().out.splitlines()
    assert footnote.startswith("* A song gets its first genre, and each whose score is above")
    assert said in footnote
