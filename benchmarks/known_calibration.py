"""Are probabilities as sure as they may be where the artist is known, and where the artist is new?

    python -m benchmarks.known_calibration [--data DIR] [--only musicnn] [--seeds 3] [--json FILE]

Songs hang on their artists. Folds of both questions are those of benchmarks/artists.py; a fifth of
the songs that aren't measured are validation songs, artist by artist, as `kg train` parts a
library. A known song is measured where its artist's genres are counted. csv, musicnn: GTZAN's
artists, who nearly always play one genre. planted: musicnn's tags, songs dealt to made-up artists
of 8 songs, of which 60 % are of the artist's own genre.

Candidates: `one`, fitted on validation songs, which are by new artists (kg's). `apart`: known songs
have one of their own, fitted on the validation songs once more, whose artists' other validation
songs are then told. `both`: one for all, fitted on the validation songs either way.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn import functional

from benchmarks.artists import by_artist, within_artists
from benchmarks.gtzan import FOLDS, Clips, Rows, folds, read_csv, read_musicnn
from kg.compare.material import graph_of
from kg.hetero import to_hetero
from kg.metrics.evaluate import artist_groups
from kg.metrics.known_artists import KNOWN, NEW
from kg.schema import ARTIST_NODE, GENRE_EDGE, SONG_NODE
from models import calibration
from models.training import TrainConfig, predict, train

CANDIDATES = ("one", "apart", "both")
PER_ARTIST, OWN_GENRE = 8, 0.6


@dataclass(frozen=True)
class Said:
    """Scores of songs, and their genres: of validation songs twice, and of songs to measure on."""

    valid: Tensor
    valid_known: Tensor
    told: Tensor
    valid_genre: Tensor
    valid_known_genre: Tensor
    told_genre: Tensor


def planted(songs: Clips, seed: int) -> Clips:
    """Deal the songs to made-up artists who play other genres than their own, too."""
    chance = np.random.default_rng(seed)
    artists: list[str | None] = [None] * len(songs.ids)
    left = {int(row) for row in songs.everything}
    number = 0
    while left:
        rows = chance.permutation(sorted(left))
        genre = songs.genre[rows[0]]
        own = [row for row in rows if songs.genre[row] == genre]
        others = [row for row in rows if songs.genre[row] != genre]
        many = int(chance.binomial(PER_ARTIST, OWN_GENRE))
        for row in (own[:many] + others)[:PER_ARTIST]:
            artists[row] = f"Artist {number}"
            left.discard(int(row))
        number += 1
    return replace(songs, artists=artists)


def said(songs: Clips, told: Rows, seed: int, *, known: bool) -> Said:
    """Learn without the songs `told` and without validation songs, and score both."""
    rest = np.setdiff1d(songs.everything, told)
    artists = artist_groups(songs.artists)
    dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    valid = rest[next(dealer.split(rest, songs.genre[rest], artists[rest]))[1]]
    learn = np.setdiff1d(rest, valid)
    sides: list[str | None] = ["test"] * len(songs.ids)
    for side, rows in (("train", learn), ("valid", valid)):
        for row in rows:
            sides[row] = side
    answered = np.isin(songs.everything, rest)
    data, maps = to_hetero(
        graph_of(
            songs.ids,
            songs.x,
            songs.kinds,
            np.isin(songs.everything, learn),
            sides,
            songs.genres,
            songs.truth(songs.everything) & answered[:, None],
            seed,
            further={ARTIST_NODE: by_artist(songs)},
        )
    )
    model = train(
        data,
        GENRE_EDGE,
        groups=maps.families,
        silent=maps.silent,
        gathered=maps.gathered,
        config=TrainConfig(seed=seed),
    ).model
    scores = predict(model, data)
    # As if the validation songs were in the library for long: each is told by the others.
    data[SONG_NODE].train_mask = torch.from_numpy(answered)
    informed = predict(model, data)
    if known:
        told = told[np.isin(artists[told], artists[learn])]
    several = np.bincount(artists[valid], minlength=artists.max() + 1) > 1
    sure = valid[several[artists[valid]]]
    genre = torch.tensor(songs.genre)
    return Said(scores[valid], informed[sure], scores[told], genre[valid], genre[sure], genre[told])


def fitted(one: Said, candidate: str, *, known: bool) -> calibration.Calibration:
    scores, genre = one.valid, one.valid_genre
    if candidate == "apart" and known:
        scores, genre = one.valid_known, one.valid_known_genre
    elif candidate == "both":
        scores = torch.cat([scores, one.valid_known])
        genre = torch.cat([genre, one.valid_known_genre])
    truth = functional.one_hot(genre, scores.size(1)).bool()
    return calibration.fit(scores, truth, multi_label=False)


def measures(runs: Sequence[Said], *, known: bool) -> Iterator[dict[str, Any]]:
    """ECE and Brier score of all answers together, and how sure they are beside how right."""
    truth = torch.cat([functional.one_hot(one.told_genre, one.told.size(1)).bool() for one in runs])
    chance = np.random.default_rng(0)
    for candidate in CANDIDATES:
        own = [fitted(one, candidate, known=known) for one in runs]
        shares = torch.cat([c.probabilities(r.told) for c, r in zip(own, runs, strict=True)])
        found = calibration.reliability(shares, truth)
        sure, first = shares.max(dim=1)
        drawn = [
            calibration.expected_calibration_error(
                sure, torch.from_numpy(chance.random(len(sure))) < sure
            )
            for _ in range(20)
        ]
        yield {
            "candidate": candidate,
            "songs": len(sure),
            "ece": found.ece,
            "chance": float(np.mean(drawn)),
            "brier": found.brier,
            "sure": float(sure.mean()),
            "right": float(truth.gather(1, first[:, None]).float().mean()),
            "temperature": float(np.mean([c.temperature for c in own])),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="csv,musicnn,planted", help="parts, separated by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shown = []
    for name in options.only.split(","):
        if name not in ("csv", "musicnn", "planted"):
            parser.error(f"there is no part {name!r}: take csv, musicnn, planted")
        plain = read_csv(options.data)[0] if name == "csv" else read_musicnn(options.data)
        for question, deal in ((NEW, folds), (KNOWN, within_artists)):
            runs = []
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                songs = planted(plain, seed) if name == "planted" else plain
                runs += [
                    said(songs, told, seed, known=question == KNOWN)
                    for told in deal(songs, FOLDS, seed)
                ]
            for row in measures(runs, known=question == KNOWN):
                shown.append({"part": name, "question": question, **row})
                cells = (f"{v:.3f}" if isinstance(v, float) else v for v in shown[-1].values())
                print(*cells, sep="  ", flush=True)
    if options.json:
        options.json.write_text(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
