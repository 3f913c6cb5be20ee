"""Genres in the tags of every kind of file: nothing else changes, and the way back is exact."""

import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import av
import mutagen
import numpy as np
import pytest
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import COMM, ID3, TCON, TIT2

from kg.audio.child import perform
from kg.audio.decode import decode
from kg.audio.requests import Retag, Retagged
from kg.audio.synth import GENRES, write_song
from kg.audio.tags import read_tags
from kg.audio.workers import perform_in_workers
from kg.errors import AudioError
from kg.files import content_id
from kg.tagging import rewrite
from kg.tagging.difference import restored, write_difference
from kg.tagging.fields import NO_FIELD

NEW = ("Nova Cançó", "Hard Bop")
# Beyond the bytes of the tags themselves: blocks that are kept whole at both ends of them.
MOST_KEPT = 8192


def request(path: Path, *genres: str, contents: tuple[str, ...] = ()) -> Retag:
    target = path.with_name(f".new{path.suffix}")
    return Retag(
        path,
        contents or (content_id(path),),
        genres or NEW,
        target,
        path.with_name(f"{path.name}.difference"),
    )


def test_all_formats(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "formats"
    shutil.copytree(data_dir / "audio_formats", folder)
    files = [each for each in folder.rglob("*") if each.is_file() and each.suffix != ".csv"]
    was = {path: path.read_bytes() for path in files}
    requests = []
    for number, path in enumerate(files):
        path.chmod(0o644)
        path.parent.chmod(0o755)
        copy = path.with_name(f".{number}{path.suffix}")
        backup = path.with_name(f".{number}.difference")
        requests.append(Retag(path, (content_id(path),), NEW, copy, backup))
    written: Counter[str] = Counter()
    for asked, outcome in perform_in_workers(requests, 2, warm=None):
        assert asked.path.read_bytes() == was[asked.path]  # whatever came of it
        if isinstance(outcome, AudioError):
            continue
        assert isinstance(outcome, Retagged)
        assert asked.target is not None
        assert asked.backup is not None
        assert read_tags(asked.target).genres == NEW
        assert outcome.after == content_id(asked.target)
        assert outcome.genres == read_tags(asked.path).genres
        assert b"".join(restored(asked.target, asked.backup)) == was[asked.path]
        written[asked.path.suffix] += 1
    # Of each kind with sound in it and room for genres.
    kinds = {
        *(".mp3", ".flac", ".ogg", ".opus", ".m4a", ".m4b", ".3g2", ".wma", ".wav", ".aiff"),
        *(".ape", ".wv", ".mpc", ".spx"),
    }
    assert kinds <= set(written), kinds - set(written)
    assert sum(written.values()) >= 100


def test_what_can_not_be_written_says_why(data_dir: Path, tmp_path: Path) -> None:
    for name, words in (
        ("mutagen/silence-44-s.eac3", NO_FIELD),
        ("essentia_generated/multistream1.mka", NO_FIELD),
        ("tinytag/test-riff-tags.wav", "its genres would not read as"),
        ("mutagen/bad-TYER-frame.mp3", "its tags can't be written"),
        ("tinytag/empty_file.mp3", ""),
    ):
        path = tmp_path / Path(name).name
        shutil.copyfile(data_dir / "audio_formats" / name, path)
        outcome = perform(request(path))
        assert isinstance(outcome, AudioError)
        assert words in outcome.reason
        assert path.read_bytes() == (data_dir / "audio_formats" / name).read_bytes()


def test_old_id3_stays_old(data_dir: Path, tmp_path: Path) -> None:
    """Frames that only 2.3 has are kept, and old players go on reading the file."""
    path = tmp_path / "old.mp3"
    shutil.copyfile(data_dir / "audio_formats/mutagen/silence-44-s.mp3", path)
    tags = ID3(path)  # type: ignore[no-untyped-call]
    tags.update_to_v23()  # type: ignore[no-untyped-call]
    tags.save(v2_version=3)  # type: ignore[no-untyped-call]
    write_sound(path)
    asked = request(path)
    outcome = perform(asked)
    assert isinstance(outcome, Retagged), outcome
    assert asked.target is not None
    again = ID3(asked.target, translate=False)  # type: ignore[no-untyped-call]
    assert again.version[:2] == (2, 3)
    assert read_tags(asked.target).genres == NEW


def write_sound(path: Path) -> None:
    """Give a silent MP3 the sound of another one behind its tags."""
    sound = path.parent / "sound.mp3"
    noise = np.random.default_rng(0).normal(0, 8000, (1, 44_100)).astype(np.int16)
    with av.open(sound, "w") as container:
        stream = container.add_stream("mp3", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.rate = 44_100
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    tags = ID3(path, translate=False)  # type: ignore[no-untyped-call]
    version = tags.version[1]
    shutil.copyfile(sound, path)
    tags.save(path, v2_version=version)  # type: ignore[no-untyped-call]


def test_files_that_are_not_written(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.flac", GENRES[0], seconds=1.0, seed=0)
    for contents, mode, words in (
        (("another",), 0o644, "has changed since"),
        ((), 0o444, "is read-only"),
    ):
        path.chmod(mode)
        outcome = perform(request(path, contents=contents))
        assert isinstance(outcome, AudioError)
        assert words in outcome.reason
    path.unlink()
    gone = perform(Retag(path, ("x",), NEW))
    assert isinstance(gone, AudioError)
    assert gone.reason == "no longer there"


def test_looking_changes_nothing(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.flac", GENRES[0], seconds=1.0, seed=0)
    before = path.read_bytes()
    outcome = perform(Retag(path, (content_id(path),), NEW))
    assert isinstance(outcome, Retagged)
    assert (outcome.before, outcome.after) == (content_id(path), None)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == before


def test_the_copy_belongs_to_whom_the_file_belongs_to(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.flac", GENRES[0], seconds=1.0, seed=0)
    path.chmod(0o640)
    asked = request(path)
    assert isinstance(perform(asked), Retagged)
    assert asked.target is not None
    assert asked.target.stat().st_mode == path.stat().st_mode
    assert asked.target.stat().st_uid == path.stat().st_uid


def test_a_copy_that_sounds_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if mutagen had damaged the sound: another song is in the copy."""
    path = write_song(tmp_path / "song.flac", GENRES[0], seconds=1.0, seed=0)
    other = write_song(tmp_path / "other.flac", GENRES[1], seconds=1.0, seed=1)

    write = rewrite.write_genres
    write(other, NEW)

    def damage(copy: Path, genres: object) -> None:
        copy.write_bytes(other.read_bytes())

    def damage_sound(copy: Path, genres: Any) -> None:
        write(copy, genres)
        tags = FLAC(copy).tags
        damage(copy, genres)
        file = FLAC(copy)  # type: ignore[no-untyped-call]
        file.clear()  # type: ignore[no-untyped-call]
        file.update(tags)
        file.save()

    for damaging, reason in (
        (damage, "its other tags would not stay as they are"),
        (damage_sound, "its sound would not stay as it is"),
    ):
        monkeypatch.setattr(rewrite, "write_genres", damaging)
        outcome = perform(request(path))
        assert isinstance(outcome, AudioError)
        assert outcome.reason == reason


def test_differences(tmp_path: Path) -> None:
    random = Random(0)
    sound = random.randbytes(300_000)
    old, new, way = (tmp_path / name for name in ("old", "new", "way"))
    for before, after in (
        (b"tag" + sound, b"longer tag" + sound),
        (b"head" + sound + b"tail", b"HEAD" + sound + b"another tail"),
        (sound, sound),
        (b"", sound),
        (sound, b""),
        (random.randbytes(50_000), random.randbytes(60_000)),
    ):
        old.write_bytes(before)
        new.write_bytes(after)
        write_difference(old, new, way)
        assert b"".join(restored(new, way)) == before
        if sound in before and sound in after:
            assert way.stat().st_size < MOST_KEPT + 500
    way.write_bytes(way.read_bytes()[:-10])
    with pytest.raises(ValueError, match="incomplete"):
        b"".join(restored(new, way))


def test_a_long_song_needs_a_small_backup(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.flac", GENRES[0], seconds=20.0, seed=0)
    asked = request(path)
    assert isinstance(perform(asked), Retagged)
    assert asked.backup is not None
    assert asked.backup.stat().st_size < MOST_KEPT + 1000 < path.stat().st_size / 4
    assert asked.target is not None
    assert np.array_equal(decode(path).samples, decode(asked.target).samples)


@pytest.mark.parametrize("both", [False, True])
def test_an_mp3_with_apev2_says_one_thing(data_dir: Path, tmp_path: Path, both: bool) -> None:
    """Some players read APEv2, some ID3: no genre of old stays in either."""
    path = tmp_path / "song.mp3"
    shutil.copyfile(data_dir / "audio_formats/pedalboard/sample_mono_22050Hz.mp3", path)
    ID3().save(path)  # type: ignore[no-untyped-call]
    if both:
        tags = ID3()  # type: ignore[no-untyped-call]
        tags.add(TIT2(encoding=3, text="Title"))  # type: ignore[no-untyped-call]
        tags.add(TCON(encoding=3, text="Old"))  # type: ignore[no-untyped-call]
        tags.save(path)
    ape = APEv2()  # type: ignore[no-untyped-call]
    ape["Genre"], ape["Title"] = "Old", "Title"
    ape.save(path)
    asked = request(path)
    outcome = perform(asked)
    assert isinstance(outcome, Retagged), outcome
    assert asked.target is not None
    assert list(APEv2(asked.target)["Genre"]) == list(NEW)  # type: ignore[no-untyped-call]
    assert b"Old" not in asked.target.read_bytes()
    said = read_tags(asked.target)
    assert (said.title, said.genres) == ("Title", NEW)


def test_a_dry_run_sees_what_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_song(tmp_path / "song.flac", GENRES[0], seconds=1.0, seed=0)
    look = Retag(path, (content_id(path),), NEW)
    assert isinstance(perform(look), Retagged)
    # Asked of the system, whose answer to root is always yes.
    for denied, words in ((path, "is read-only"), (path.parent, "its folder is read-only")):
        monkeypatch.setattr("os.access", lambda at, _, denied=denied: at != denied)
        outcome = perform(look)
        assert isinstance(outcome, AudioError)
        assert words in outcome.reason


def test_a_copy_that_lost_a_field_is_refused(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if mutagen had lost what kg itself never reads: a comment, a picture, a foreign frame."""
    mp3 = tmp_path / "song.mp3"
    shutil.copyfile(data_dir / "audio_formats/mutagen/silence-44-s.mp3", mp3)
    write_sound(mp3)
    flac = write_song(tmp_path / "song.flac", GENRES[0], seconds=1.0, seed=0)
    comments = FLAC(flac)  # type: ignore[no-untyped-call]
    comments["comment"] = "dear"
    picture = Picture()  # type: ignore[no-untyped-call]
    picture.data = b"P"
    comments.add_picture(picture)  # type: ignore[no-untyped-call]
    comments.save()
    frames = ID3(mp3)  # type: ignore[no-untyped-call]
    frames.add(COMM(lang="eng", text="dear"))  # type: ignore[no-untyped-call]
    frames.save()  # type: ignore[no-untyped-call]

    def without_comment(file: Any) -> None:
        del file["comment"]

    def without_picture(file: Any) -> None:
        file.clear_pictures()

    def without_frame(file: Any) -> None:
        file.tags.delall("COMM")

    write = rewrite.write_genres
    for path, lose in ((flac, without_comment), (flac, without_picture), (mp3, without_frame)):
        outcome = perform(request(path))
        assert isinstance(outcome, Retagged), outcome

        def forgetful(copy: Path, genres: Any, lose: Any = lose) -> None:
            write(copy, genres)
            file: Any = mutagen.File(copy)
            lose(file)
            file.save()

        with monkeypatch.context() as forgetting:
            forgetting.setattr(rewrite, "write_genres", forgetful)
            outcome = perform(request(path))
        assert isinstance(outcome, AudioError)
        assert outcome.reason == "its other tags would not stay as they are"
