"""How long the pages of `kg explore` take in a library of 100,000 songs.

    python -m benchmarks.explore [--songs 100000] [--keep DIR] [--disputes 2000] [--no-browser]

The songs are those of `benchmarks.add`: made up, on the embedded server, clustered, linked and
trained on by kg itself. Some labels are disputed, so that the review has a queue. Each address is
asked three times, one after the other, and the second of the sorted times is printed; the first
request of all with the start of the command. In Chromium a page counts until it can be used: the
search has answered a word that was typed, the map is drawn.
"""

import argparse
import http.client
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.add import make

ROUNDS = 3


def dispute(home: Path, count: int) -> str:
    """Dispute some labels; a song whose label isn't."""
    from kg import Library
    from kg.graph.proposals import Dispute, write_disputes

    with Library.open(home) as library:
        answer = library.ask("MATCH (s:Song)-[:IN_GENRE]->(g:Genre) RETURN s.id, g.name")
        rows = sorted(map(tuple, answer.rows))
        genres = sorted({genre for _, genre in rows})
        other = dict(zip(genres, genres[1:] + genres[:1], strict=True))
        write_disputes(
            library.connection,
            [Dispute(id, other[genre], 0.9, (genre,), 0.05, "audit") for id, genre in rows[:count]],
        )
        return str(rows[-1][0])


class Explorer:
    """`kg explore` as a command of its own, and a client that it let in."""

    def __init__(self, home: Path) -> None:
        began = time.monotonic()
        command = ["-c", "from cli.main import main; main()", "--home", str(home), "--quiet"]
        self.process = subprocess.Popen(
            [sys.executable, *command, "explore", "--port", "0", "--no-browser"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.cookie = ""
        self.cookie = self.ask(f"/?{urlsplit(self.address).query}")[1].split(";")[0]
        self.ask("/")
        self.started = time.monotonic() - began

    def ask(self, path: str) -> tuple[int, str, int]:
        """Status, cookie and bytes of an answer."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=600)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status not in (200, 202, 303):
            raise SystemExit(f"{path}: {answer.status} {body[:300]!r}")
        return answer.status, answer.headers.get("Set-Cookie", ""), len(body)

    def seconds(self, path: str) -> tuple[float, int]:
        """Seconds and bytes of an answer."""
        times, size = [], 0
        for _ in range(ROUNDS):
            began = time.monotonic()
            size = self.ask(path)[2]
            times.append(time.monotonic() - began)
        return statistics.median(times), size

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def in_browser(explorer: Explorer, song: str) -> None:
    """Seconds until pages can be used in Chromium."""
    from playwright.sync_api import Page, sync_playwright

    def typed(page: Page) -> None:
        page.fill("#q", "song 777")
        page.wait_for_selector(".songs li:first-child .title:text('777')")

    uses: dict[str, tuple[str, Callable[[Page], object]]] = {
        "songs, a word typed and answered": ("/", typed),
        "map, drawn": ("/map", lambda page: page.wait_for_selector("#map[data-drawn]")),
        "song, with songs like it": (
            f"/song/{song}",
            lambda page: page.wait_for_selector(".like", timeout=120_000),
        ),
        "review": ("/review", lambda page: page.wait_for_selector("[data-on]")),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(explorer.address)
        for what, (path, use) in uses.items():
            times = []
            for _ in range(ROUNDS):
                began = time.monotonic()
                page.goto(explorer.address.split("/?")[0] + path)
                use(page)
                times.append(time.monotonic() - began)
            print(f"  in Chromium, {what}: {statistics.median(times):.2f} s")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--disputes", type=int, default=2_000)
    parser.add_argument("--no-browser", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = given.keep or Path(scratch) / "home"
        if not (home / "made").exists():
            make(home, given.songs)
        song = dispute(home, given.disputes)
        explorer = Explorer(home)
        try:
            print(f"{given.songs:,} songs")
            print(f"  start of the command to the first page: {explorer.started:.2f} s")
            began = time.monotonic()
            while explorer.ask("/map/points")[0] == 202:
                time.sleep(0.2)
            print(f"  until the map is there: {time.monotonic() - began:.1f} s")
            for path in (
                *("/", "/?q=song+777&part=1", "/?q=nothing+says+this&part=1", "/?page=500"),
                *("/?genre=genre+03&q=99", f"/song/{song}", f"/song/{song}/neighbours", "/map"),
                *("/map/points", "/review", "/review?page=50"),
            ):
                seconds, size = explorer.seconds(path)
                print(f"  {path.replace(song, 'ID')}: {seconds:.2f} s, {size / 1e3:,.0f} kB")
            if not given.no_browser:
                in_browser(explorer, song)
        finally:
            explorer.close()


if __name__ == "__main__":
    main()
