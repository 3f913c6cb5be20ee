"""What is proposed goes by the owner's policy; what is stored doesn't."""

from pathlib import Path
from typing import Any

from kg import Library
from kg.audio.synth import GENRES
from tests.embeddings.ears import write_weights

STORED = (
    "MATCH (s)-[r:SUGGESTED_GENRE]->(g:Genre) RETURN s.id, g.name, r.rank ORDER BY s.id, r.rank"
)


def test_suggestions_by_policy(library: Library, music: Path) -> None:
    write_weights(library.settings.embeddings_dir)
    library.ingest(music, genres_from="none", embeddings=["musicnn"])
    heard = library.suggest_genres()
    stored = library.ask(STORED).rows
    assert heard.songs

    def proposed(text: str, **options: Any) -> Any:
        policy = library.settings.kg_home / "genre-policy.toml"
        policy.write_text(text, encoding="utf-8")
        return library.suggest_genres(**options)

    first = heard.songs[0].suggestions[0].genre
    found = proposed(f'unwanted = ["{first.upper()}"]\nmost = 1\nleast_probability = 0.99\n')
    assert library.ask(STORED).rows == stored
    assert {len(song.suggestions) for song in found.songs} == {1}
    assert all(song.suggestions[0].genre != first for song in found.songs)
    assert len(found.songs) + found.untold == len(heard.songs) + heard.untold

    found = proposed('allowed = ["polka"]\n')
    assert not found.songs
    assert found.untold == len(heard.songs) + heard.untold

    library.ingest(music / GENRES[0], genres_from="folder")
    found = proposed("keep = true\n", labelled_too=True)
    ids = {id for (id,) in library.ask("MATCH (s:Song)-[:IN_GENRE]->() RETURN s.id").rows}
    assert len(ids) == 6
    assert not ids & {song.id for song in found.songs}
    assert found.labelled == len(ids & {song.id for song in heard.songs})
