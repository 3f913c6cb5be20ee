"""The picture of a comparison says what its rows say."""

from pathlib import Path

import pytest

from kg.compare.figures import Figure, figures
from kg.compare.plot import draw, picture
from kg.errors import WrongUsageError
from tests.compare.test_figures import outcome
from tests.metrics.test_significance import songs


@pytest.fixture(scope="module")
def rows() -> list[Figure]:
    truth, artists = songs(90)
    said = [outcome("good", 0.9), outcome("majority", 0.0), outcome("good", 0.95, 2, "random")]
    return figures(truth, said, artists)


def test_every_row_has_its_dot_where_its_number_is(rows: list[Figure]) -> None:
    (axes,) = picture(rows).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "good (all)",
        "majority (all)",
    ]
    dots = sorted(float(bar[0].get_xdata()[0]) for bar in axes.containers)
    assert dots == pytest.approx(sorted(row.macro_f1.value for row in rows))
    assert "random folds" in axes.get_title(loc="left")


def test_learning_curves_are_drawn_below() -> None:
    truth, artists = songs(90)
    said = [outcome("good", 0.9), outcome("poor", 0.3)]
    said += [outcome("good", 0.5, share=0.5), outcome("poor", 0.2, share=0.5)]
    rows = figures(truth, said, artists)
    axes, below = picture(rows).axes
    assert len(axes.containers) == 2
    assert [text.get_text() for text in below.get_legend().get_texts()] == [
        "good (all)",
        "poor (all)",
    ]
    assert [tick.get_text() for tick in below.get_xticklabels()] == ["30", "60"]
    line = below.containers[0][0]
    by_share = {row.share: row.macro_f1.value for row in rows if row.model == "good"}
    assert line.get_ydata().tolist() == pytest.approx([by_share[0.5], by_share[1]])


def test_no_label_is_cut_off(rows: list[Figure]) -> None:
    drawn = picture(rows)
    drawn.canvas.draw()
    (axes,) = drawn.axes
    for label in axes.get_yticklabels():
        assert label.get_window_extent().x0 >= 0


def test_it_is_written_where_it_was_asked_for(rows: list[Figure], tmp_path: Path) -> None:
    draw(rows, tmp_path / "models.png")
    assert (tmp_path / "models.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(WrongUsageError, match=r"ends in \.png, \.pdf or \.svg"):
        draw(rows, tmp_path / "models.txt")
