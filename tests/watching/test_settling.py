"""What settles when, by a clock that the tests turn."""

from dataclasses import replace

from kg.watching.settling import Batch, Patience, Settling, Stamp

PATIENCE = Patience(quiet=2, stalled=100, doubtful=60, gone=5, arriving=30)
EMPTY = Stamp(0, 1, 1, 7)
HALF = Stamp(500, 2, 2, 7)
WHOLE = Stamp(1000, 3, 3, 7)


class Disk(dict[str, Stamp]):
    """What is there."""

    def take(self, settling: Settling, now: float, most: int = 100) -> Batch:
        return settling.take(self.get, now, most)


def test_a_file_settles_when_it_has_stood_still() -> None:
    settling, disk = Settling(PATIENCE), Disk(a=HALF)
    settling.look("a", HALF, 0)
    assert not disk.take(settling, 1.9)
    disk["a"] = WHOLE  # nobody told: the last look finds it
    assert not disk.take(settling, 2.0)
    assert not disk.take(settling, 3.9)
    assert disk.take(settling, 4.0) == Batch({"a": WHOLE})
    assert not len(settling)


def test_a_copy_that_stalls_is_waited_for_until_it_is_closed() -> None:
    settling, disk = Settling(PATIENCE), Disk(a=HALF)
    settling.look("a", EMPTY, 0)
    settling.look("a", HALF, 0)
    settling.write("a", closed=False)
    assert not disk.take(settling, 90)
    disk["a"] = WHOLE
    settling.look("a", WHOLE, 91)
    settling.write("a", closed=True)
    assert not disk.take(settling, 92)
    assert disk.take(settling, 93).arrived == {"a": WHOLE}

    settling.look("a", WHOLE, 100)
    settling.write("a", closed=False)  # and never closed: a program that holds on to it
    assert not disk.take(settling, 199)
    assert disk.take(settling, 200).arrived == {"a": WHOLE}
    settling.write("a", closed=True)  # nobody waits for it any more
    assert not len(settling)


def test_what_can_not_be_read_is_given_up_only_when_it_stands_still() -> None:
    settling, disk = Settling(PATIENCE), Disk(a=HALF)
    settling.doubt("a", HALF, "cut off", 0)
    assert not disk.take(settling, 59)
    settling.look("a", HALF, 59)  # told again of the same
    assert disk.take(settling, 60).refused == {"a": (HALF, "cut off")}

    settling.doubt("a", HALF, "cut off", 100)
    disk["a"] = WHOLE
    assert not disk.take(settling, 160)
    assert disk.take(settling, 162) == Batch({"a": WHOLE})
    settling.doubt("a", WHOLE, "no permission", 200)
    readable = disk["a"] = replace(WHOLE, changed=9)
    settling.look("a", readable, 201)
    assert disk.take(settling, 203).arrived == {"a": readable}


def test_gone_files_wait_for_those_that_arrive_and_go_together() -> None:
    settling, disk = Settling(PATIENCE), Disk()
    settling.look("a", None, 0)
    settling.look("b", None, 3)
    assert not disk.take(settling, 7.9)
    assert disk.take(settling, 8).gone == ["a", "b"]

    disk["c"] = WHOLE
    settling.look("a", None, 10)
    settling.look("c", HALF, 11)
    settling.look("c", WHOLE, 14.5)
    assert not disk.take(settling, 16)
    # What has settled is looked at first: it may be the same song.
    assert disk.take(settling, 16.5) == Batch({"c": WHOLE})
    assert disk.take(settling, 16.6) == Batch(gone=["a"])

    settling.look("a", None, 20)
    settling.look("d", HALF, 20)
    settling.write("d", closed=False)
    disk["d"] = HALF
    assert not disk.take(settling, 49.9)
    assert disk.take(settling, 50).gone == ["a"]  # a download may take hours

    settling.look("a", None, 60)
    disk["a"] = WHOLE  # it is back, and nobody told
    assert not disk.take(settling, 90)
    assert disk.take(settling, 92).arrived == {"a": WHOLE}


def test_batches_are_no_larger_than_asked_and_come_again_if_nothing_came_of_them() -> None:
    settling, disk = Settling(PATIENCE), Disk({str(i): WHOLE for i in range(5)})
    for path in disk:
        settling.look(path, WHOLE, 0)
    settling.look("gone", None, 0)
    first = disk.take(settling, 10, most=3)
    assert list(first.arrived) == ["0", "1", "2"]
    assert not first.gone
    settling.again(first, 10)
    assert list(disk.take(settling, 10, most=3).arrived) == ["3", "4"]
    assert list(disk.take(settling, 12).arrived) == ["0", "1", "2"]
    last = disk.take(settling, 13)
    assert last.gone == ["gone"]

    settling.again(Batch(refused={"0": (WHOLE, "noise")}, gone=["gone"]), 20)
    assert disk.take(settling, 20).refused == {"0": (WHOLE, "noise")}
    settling.forget_gone(lambda path: path == "gone")
    assert not disk.take(settling, 1000)


def test_nothing_is_gone_while_a_renamed_song_may_still_wait() -> None:
    settling, disk = Settling(PATIENCE), Disk(a=WHOLE, b=WHOLE, new=WHOLE)
    settling.look("old", None, 0)
    for path in disk:
        settling.look(path, WHOLE, 0)
    late = 10 * PATIENCE.arriving
    full = disk.take(settling, late, most=2)
    assert (list(full.arrived), full.gone) == (["a", "b"], [])
    rest = disk.take(settling, late, most=2)
    assert (list(rest.arrived), rest.gone) == (["new"], ["old"])
