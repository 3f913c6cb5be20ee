"""How well copies of recordings and broken audio are found, on faults planted in real clips.

Clips are dealt into two halves: thresholds (`kg.audit.matching.ALIKE`, `kg.audit.faults`) were
chosen by what --half 0 prints, and --half 1 measures them. Every clip is there as it is, as eight
copies and with six faults; see benchmarks/planting.py.

    python benchmarks/copies.py CLIPS --half 1
    python benchmarks/copies.py --songs 100000
"""

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.planting import COPIES, FAULTS, plant
from kg.audio.extract import extract
from kg.audio.prints import MOST, WIDTH
from kg.audio.sound import Sound
from kg.audit import faults
from kg.audit.matching import ALIKE, Prints, matches

FAULT_OF = {
    "clipped": "clipping",
    "clipped_mp3": "clipping",
    "silenced": "silence",
    "truncated": "missing",
    "truncated_mp3": "missing",
    "one_sided": "imbalance",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="?", help="folder of audio files")
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    parser.add_argument("--planted", type=Path, help="keeps the planted copies and the cache")
    parser.add_argument("--songs", type=int, help="compare so many made-up prints instead")
    arguments = parser.parse_args()
    if arguments.songs:
        large(arguments.songs)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.planted or Path(temporary)
        files = [file for file in sorted(arguments.clips.rglob("*")) if file.is_file()]
        sounds = heard(files[arguments.half :: 2], folder)
    copies(sounds)
    broken(sounds)


def heard(clips: list[Path], folder: Path) -> dict[tuple[str, str], Sound]:
    """Plant in every clip, listen to all of it: sounds by clip and kind."""
    files: dict[tuple[str, str], Path] = {}
    for clip in clips:
        files[clip.stem, "original"] = clip
        for kind in (*COPIES, *FAULTS):
            there = list((folder / kind).glob(f"{clip.stem}-{kind}.*"))
            files[clip.stem, kind] = there[0] if there else plant(clip, kind, folder / kind)
    names = {f"{clip} {kind}": (clip, kind) for clip, kind in files}
    told = extract([(name, files[key]) for name, key in names.items()], folder / "cache")
    assert not told.rejected
    sounds = {names[id]: Sound.of_row(told.sound[row]) for row, id in enumerate(told.ids)}
    return {key: sound for key, sound in sounds.items() if sound is not None}


def padded(sounds: list[Sound]) -> Prints:
    values = np.zeros((len(sounds), MOST, WIDTH), np.uint8)
    for row, sound in enumerate(sounds):
        values[row, : len(sound.print)] = sound.print
    return Prints(values, np.array([len(sound.print) for sound in sounds]))


def copies(sounds: dict[tuple[str, str], Sound]) -> None:
    """Of every clip, which of its copies are found, and which strangers are taken for one."""
    keys = [key for key in sounds if key[1] in ("original", *COPIES)]
    found = matches(padded([sounds[key] for key in keys]))
    strangers = [each for each in found if keys[each.first][0] != keys[each.second][0]]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for each in found:
        (clip, one), (other, two) = keys[each.first], keys[each.second]
        if clip == other and "original" in (one, two):
            by_kind[two if one == "original" else one].append(each.similarity)
    clips = sum(kind == "original" for _, kind in keys)
    total = sum(map(len, by_kind.values()))
    print(f"{clips} clips with {len(COPIES)} copies each, alike from {ALIKE}")
    print(f"{'copy':15s} {'found':>8s} {'least similarity':>17s}")
    for kind in COPIES:
        alike = by_kind[kind]
        print(f"{kind:15s} {len(alike):4d}/{clips:<3d} {min(alike, default=0):17.3f}")
    print(
        f"recall {total / (clips * len(COPIES)):.3f} of {clips * len(COPIES)} copies, precision "
        f"{1 - len(strangers) / len(found):.3f} of {len(found)} pairs"
    )


def broken(sounds: dict[tuple[str, str], Sound]) -> None:
    """Of the planted faults, which are found; the other files have none."""
    least = {
        "clipping": faults.CLIPPING,
        "silence": faults.SILENCE,
        "missing": faults.NO_END,
        "imbalance": faults.IMBALANCE,
    }
    print(f"{'fault':15s} {'found':>8s} {'wrongly':>12s}")
    for kind, measure in FAULT_OF.items():
        of_kind = [sound for (_, planted), sound in sounds.items() if planted == kind]
        others = [s for (_, planted), s in sounds.items() if FAULT_OF.get(planted) != measure]
        found = sum(getattr(sound, measure) >= least[measure] for sound in of_kind)
        wrong = sum(getattr(sound, measure) >= least[measure] for sound in others)
        print(f"{kind:15s} {found:4d}/{len(of_kind):<3d} {wrong:6d}/{len(others)}")


def large(count: int) -> None:
    """Made-up prints of a large library, one in a hundred of them a copy of another."""
    chance = np.random.default_rng(0)
    values = np.empty((count, MOST, WIDTH), np.uint8)
    for start in range(0, count, 10_000):
        part = min(10_000, count - start)
        moves = chance.normal(size=(part, MOST, WIDTH)).astype(np.float32)
        for step in range(1, MOST):  # a sound goes on for a while
            moves[:, step] += 0.7 * moves[:, step - 1]
        level = chance.uniform(60, 190, (part, 1, WIDTH))
        values[start : start + part] = np.clip(level + 30 * moves, 0, 255)
    originals = np.arange(count // 100)
    turned = np.roll(values[originals, :, :12], 2, axis=2)
    values[count - 1 - originals] = np.concatenate([turned, values[originals, :, 12:]], axis=2)
    begin, used = time.perf_counter(), time.process_time()
    found = matches(Prints(values, np.full(count, MOST)))
    seconds, used = time.perf_counter() - begin, time.process_time() - used
    planted = {(int(at), int(count - 1 - at)) for at in originals}
    hits = sum((each.first, each.second) in planted for each in found)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{count} prints: {seconds:.0f} s ({used:.0f} s of a core), at most {memory:.1f} GB; "
        f"{hits} of {len(planted)} copies found, {len(found) - hits} wrongly"
    )


if __name__ == "__main__":
    main()
