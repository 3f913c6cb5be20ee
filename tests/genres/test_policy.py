"""What an owner wants to see of genres, and what a policy file may not say."""

from pathlib import Path

import pytest

from kg.errors import WrongUsageError
from kg.genres.policy import EVERYTHING, Policy, read_policy
from kg.genres.proposals import shown_guesses
from kg.genres.tree import Tree
from kg.graph.rows import Guess

TREE = Tree({"Punk": ["Rock"], "Post-Punk": ["Punk"], "House": ["Electronic"], "Rock": []})
TOLD = [("Rock", 0.9), ("Post-Punk", 0.8), ("Punk", 0.7), ("House", 0.4), ("seen live", 0.3)]


def policy(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return read_policy(file)


def names(found: list[tuple[str, float]]) -> list[str]:
    return [name for name, _ in found]


def test_everything_is_shown_where_nothing_is_said() -> None:
    assert EVERYTHING.shown(TOLD, TREE) == TOLD


def test_all_of_it(tmp_path: Path) -> None:
    found = policy(
        tmp_path,
        'allowed = ["post punk", "electronic", "Drum & Bass"]\nunwanted = ["Seen Live"]\nmost = 2\n'
        'least_probability = 0.35\nprefer = "specific"\nkeep = true\n'
        '[aliases]\ndnb = "d&b"\n"D & B" = "Drum & Bass"\n',
    )
    told = [("dnb", 0.95), *TOLD]
    # "Punk" and "Rock" have nothing allowed above them; "House" becomes "Electronic".
    assert found.shown(told, TREE) == [("Drum & Bass", 0.95), ("Post-Punk", 0.8)]
    assert found.shown(TOLD, TREE) == [("Post-Punk", 0.8), ("Electronic", 0.4)]
    assert found.proposed(TOLD, ["polka"], TREE) == []
    assert found.proposed(TOLD, [], TREE) == found.shown(TOLD, TREE)


def test_unwanted_genres_go_in_any_spelling() -> None:
    found = Policy(unwanted=frozenset({"postpunk", "seenlive"}))
    assert names(found.shown(TOLD, TREE)) == ["Rock", "Punk", "House"]


def test_what_is_not_allowed_becomes_the_nearest_above_it_that_is() -> None:
    found = Policy(allowed={"rock": "Rock", "punk": "Punk"})
    assert found.shown(TOLD, TREE) == [("Rock", 0.9), ("Punk", 0.8)]
    assert found.names(["House", "Post-Punk"], TREE) == ["Punk"]
    assert found.names(["Post-Punk"]) == []  # without a tree nothing is above it


def test_the_most_specific_and_the_most_general() -> None:
    assert names(Policy(prefer="specific").shown(TOLD, TREE)) == ["Post-Punk", "House", "seen live"]
    assert names(Policy(prefer="general").shown(TOLD, TREE)) == ["Rock", "House", "seen live"]
    # The tree's spelling doesn't matter.
    assert names(Policy(prefer="general").shown([("post punk", 1), ("ROCK", 1)], TREE)) == ["ROCK"]


def test_least_probability_is_for_probabilities() -> None:
    found = Policy(least_probability=0.5)
    assert names(found.shown(TOLD)) == ["Rock", "Post-Punk", "Punk"]
    assert names(found.shown(TOLD, probabilities=False)) == names(TOLD)
    assert found.names(["x"]) == ["x"]


def test_aliases_of_one_genre_are_shown_once_with_the_surest() -> None:
    found = Policy(aliases={"postpunk": "Punk", "rock": "punk"})
    assert found.shown(TOLD, TREE) == [("punk", 0.9), ("House", 0.4), ("seen live", 0.3)]


def test_what_becomes_a_genre_above_it_is_as_sure_as_that_is() -> None:
    # The most specific comes first where the model says so.
    told = [("Post-Punk", 0.5), ("House", 0.3), ("Rock", 0.9), ("Electronic", 0.4)]
    allowed = Policy(allowed={"rock": "rock", "electronic": "electronic"})
    assert allowed.shown(told, TREE) == [("Rock", 0.9), ("Electronic", 0.4)]
    assert Policy(prefer="specific", most=1).shown(told, TREE) == told[:1]
    assert Policy(prefer="general").shown(told, TREE) == told[2:]


def test_an_alias_may_be_another_spelling(tmp_path: Path) -> None:
    found = policy(tmp_path, '[aliases]\n"hip hop" = "Hip-Hop"\nrap = "hiphop"\n')
    assert found.names(["HIP HOP"]) == ["Hip-Hop"]
    assert found.names(["Rap"]) == ["Hip-Hop"]


def test_guesses_keep_their_scores_and_count_their_ranks_anew() -> None:
    guesses = [Guess(name, p, 10 * p, rank) for rank, (name, p) in enumerate(TOLD, start=1)]
    shown = shown_guesses(guesses, Policy(unwanted=frozenset({"rock"}), most=2), TREE)
    assert shown == [Guess("Post-Punk", 0.8, 8.0, 1), Guess("Punk", 0.7, 7.0, 2)]
    assert shown_guesses(guesses, EVERYTHING, TREE) == guesses


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; there are allowed, unwanted"),
        ("# nothing\n", "is empty"),
        ('unwnted = ["x"]', "no key 'unwnted', did you mean `unwanted`"),
        ("zzz = 1", "no key 'zzz'; there are allowed"),
        ("allowed = []", "`allowed` is empty"),
        ('allowed = "rock"', "`allowed` is no list of names"),
        ('unwanted = ["rock", " "]', "`unwanted` is no list of names"),
        ("unwanted = [5]", "`unwanted` is no list of names"),
        ('allowed = ["Hip Hop"]\nunwanted = ["hip-hop"]', "'Hip Hop' is both allowed and unwanted"),
        ("most = 0", "`most` is 0"),
        ("most = true", "`most` is True"),
        ("least_probability = 1.5", r"`least_probability` is 1\.5"),
        ("least_probability = nan", "`least_probability` is nan"),
        ('prefer = "both"', "`prefer` is 'both'"),
        ("prefer = [1]", "`prefer` is"),
        ('keep = "yes"', "`keep` is 'yes'"),
        ('aliases = ["x"]', "`aliases` is no table"),
        ("[aliases]\nx = 1", "`aliases` is no table"),
        ('[aliases]\na = "b"\nb = "c"\nc = "A"', "in a circle: 'a' -> 'b' -> 'c' -> 'a'"),
        ("most 3", "is no TOML"),
        ("most = 3\nmost = 4", "is no TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongUsageError, match=said):
        policy(tmp_path, text)


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match="for the genre policy"):
        read_policy(tmp_path / "none.toml")
