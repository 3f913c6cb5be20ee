"""Every Cypher text of the project, named. Each runs unchanged on Neo4j and the embedded server.

Values travel as parameters only; the names in the texts are those of `kg.schema`.
"""

from typing import Final

from kg.schema import FURTHER, KEYS, SONG_NODE, TURN

# Created before any data: the embedded server types an index by the data it finds.
CONSTRAINTS: Final = tuple(
    f"CREATE CONSTRAINT {label}_{key} IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE"
    for label, key in (*KEYS.items(), (TURN, "id"))
)
INDEXES: Final = (
    "CREATE INDEX song_title IF NOT EXISTS FOR (s:Song) ON (s.title)",
    "CREATE INDEX song_artist IF NOT EXISTS FOR (s:Song) ON (s.artist)",
    "CREATE INDEX song_path IF NOT EXISTS FOR (s:Song) ON (s.path)",
    "CREATE INDEX song_addedTo IF NOT EXISTS FOR (s:Song) ON (s.addedTo)",
)
# Ends of a relationship. Others of the same type, between other labels, are somebody else's.
ENDS: Final = {
    "HAS_FEATURE": ("Song", "FeatureCluster"),
    "SIMILAR_TO": ("Song", "Song"),
    "IN_GENRE": ("Song", "Genre"),
    "PREDICTED_GENRE": ("Song", "Genre"),
    "SUBGENRE_OF": ("Genre", "Genre"),
    "HAS_TAG": ("Song", "Tag"),
    "SUGGESTED_GENRE": ("Song", "Genre"),
    "PROPOSED_GENRE": ("Song", "Genre"),
    "SAME_RECORDING": ("Song", "Song"),
    "BY": ("Song", "Artist"),
    "ON": ("Song", "Album"),
    "CONTAINS": ("Playlist", "Song"),
}
INDEX_NAMES: Final = tuple(text.split()[2] for text in INDEXES)

# --- the form of the graph, and who was here before us (see kg.graph.versions) -------------------

# One row, whatever is there. A graph of ours from before it had a version has a feature space.
SCHEMA: Final = """
OPTIONAL MATCH (k:KgSchema {id: 'kg'})
RETURN k.version AS version, EXISTS {
  MATCH (f:FeatureSpace) WHERE f.state IN ['building', 'complete', 'loading']
} AS ours
"""
CLAIM_SCHEMA: Final = """
MERGE (k:KgSchema {id: 'kg'})
ON CREATE SET k.version = $version
RETURN k.version AS version
"""
LOCK_SCHEMA: Final = "MATCH (k:KgSchema {id: 'kg'}) SET k.id = 'kg' RETURN k.version AS version"
SET_SCHEMA: Final = "MATCH (k:KgSchema {id: 'kg'}) SET k.version = $version"

# From 0 to 1: what songs, feature spaces and models have been given since the first ones.
GIVE_EXCERPT: Final = "MATCH (f:FeatureSpace) WHERE f.excerpt IS NULL SET f.excerpt = $excerpt"
GIVE_PATHS: Final = """
MATCH (s:Song)
WHERE s.paths IS NULL AND s.path IS NOT NULL
SET s.paths = [s.path]
"""
GIVE_MODEL_FINGERPRINTS: Final = """
MATCH (m:Model)
WHERE m.featureVersion IS NOT NULL
SET m.labels = coalesce(m.labels, ''), m.testSplit = coalesce(m.testSplit, '')
"""

# From 2 to 3: there are songs whose artists and albums aren't nodes yet.
ASK_FOR_CREDITS: Final = "MATCH (f:FeatureSpace) SET f.uncredited = true"

LABELLED: Final = " UNION ALL ".join(
    f"MATCH (n:{label}) WITH count(n) AS n WHERE n > 0 RETURN '{label}' AS label, n"
    for label in (*KEYS, TURN)
)
ALL_CONSTRAINTS: Final = """
SHOW CONSTRAINTS YIELD name, type, entityType, labelsOrTypes, properties
RETURN name, type, entityType AS entity, labelsOrTypes AS labels, properties
"""
ALL_INDEXES: Final = """
SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, owningConstraint
RETURN name, type, entityType AS entity, labelsOrTypes AS labels, properties,
       owningConstraint AS owner
"""

# --- whose turn it is to write (see kg.graph.turns) ----------------------------------------------

WHOSE_TURN: Final = """
MATCH (t:Turn {id: 'turn'})
RETURN t.holder AS holder, t.home AS home, t.renewed AS renewed, timestamp() - t.renewed AS idle
"""
ASK_FOR_TURN: Final = """
MERGE (t:Turn {id: 'turn'})
SET t.asked = $token
RETURN t.holder AS holder, t.renewed AS renewed
"""
TAKE_TURN: Final = """
MATCH (t:Turn {id: 'turn'})
SET t.holder = $token, t.home = $home, t.renewed = timestamp(), t.asked = null
RETURN t.holder AS holder
"""
RENEW_TURN: Final = """
MATCH (t:Turn {id: 'turn', holder: $token})
SET t.renewed = timestamp()
RETURN count(t) AS n
"""
GIVE_TURN_BACK: Final = "MATCH (t:Turn {id: 'turn', holder: $token}) DELETE t"

# --- songs and what their owner says of them ---------------------------------------------------

# What of a batch is there already: where it lies, and whether it has genres.
SONGS_THERE: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN s.id AS id, s.path AS path, s.paths AS paths,
       EXISTS { (s)-[:IN_GENRE]->(:Genre) } AS labelled,
       EXISTS { (s)-[:HAS_TAG]->(:Tag) } AS tagged,
       [(s)-[:BY]->(a:Artist) | a.id] AS by_artist, [(s)-[:ON]->(a:Album) | a.id] AS on_album
"""
# All that a row of a table says of a song, as it was when it came.
SONGS_AS_TOLD: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN id, properties(s) AS properties,
       [(s)-[r:IN_GENRE]->(g:Genre) | [g.name, r.source]] AS genres
"""
ROWS_OF_SOURCE: Final = """
MATCH (s:Song)
WHERE s.source = $source AND s.path IS NULL
RETURN s.id AS id
"""
UPDATE_SONGS: Final = "UNWIND $rows AS row MATCH (s:Song {id: row.id}) SET s += row.properties"
# New ones, with their genres by number: nothing has to be looked for.
CREATE_SONGS: Final = """
UNWIND range(0, size($genres) - 1) AS i
MATCH (g:Genre {name: $genres[i]})
WITH i, g ORDER BY i
WITH collect(g) AS genres
UNWIND $rows AS row
CREATE (s:Song {id: row[0]})
SET s += row[1]
WITH s, row, genres
UNWIND row[2] AS number
WITH s, genres[number] AS g, row[3] AS source
CREATE (s)-[:IN_GENRE {source: source}]->(g)
"""

# A song with a label of one of the sources in $kept keeps it: what its owner said by hand
# always, what folders said when nobody asked for tags.
DELETE_OTHER_GENRES: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.id})-[r:IN_GENRE]->(g:Genre)
WHERE NOT g.name IN row.genres
  AND NOT EXISTS { MATCH (s)-[k:IN_GENRE]->(:Genre) WHERE k.source IN $kept }
DELETE r
"""
MERGE_GENRES: Final = "UNWIND $names AS name MERGE (:Genre {name: name})"
MERGE_IN_GENRE: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.id})
WHERE NOT EXISTS { MATCH (s)-[k:IN_GENRE]->(:Genre) WHERE k.source IN $kept }
UNWIND row.genres AS name
MATCH (g:Genre {name: name})
MERGE (s)-[r:IN_GENRE]->(g)
SET r.source = row.source
"""
CREATE_IN_GENRE: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.id})
UNWIND row.genres AS name
MATCH (g:Genre {name: name})
CREATE (s)-[:IN_GENRE {source: row.source}]->(g)
"""

# --- what genres are called, and what is a kind of what -------------------------------------------

GENRES_CALLED: Final = "MATCH (g:Genre) WHERE g.name IN $names RETURN g.name AS name"
# Those that an owner named; others are a model's or a network's words.
OWN_GENRES: Final = """
MATCH (g:Genre)
WHERE EXISTS { (:Song)-[:IN_GENRE]->(g) } OR EXISTS { (g)-[:SUBGENRE_OF]-(:Genre) }
RETURN g.name AS name
"""
TREE: Final = """
MATCH (g:Genre)-[r:SUBGENRE_OF]->(p:Genre)
RETURN g.name AS genre, p.name AS parent, coalesce(r.source, '') AS source
"""
DELETE_TREE: Final = "MATCH (:Genre)-[r:SUBGENRE_OF]->(:Genre) DELETE r"
DELETE_OTHER_PARENTS: Final = """
UNWIND $rows AS row
MATCH (g:Genre {name: row.name})-[r:SUBGENRE_OF]->(p:Genre)
WHERE NOT p.name IN row.parents
DELETE r
"""
MERGE_SUBGENRE_OF: Final = """
UNWIND $rows AS row
MATCH (g:Genre {name: row[0]})
MATCH (p:Genre {name: row[1]})
MERGE (g)-[r:SUBGENRE_OF]->(p)
SET r.source = $source
"""

# What a song was called whose place at its path another took, which is called nothing yet.
LABELS_TO_KEEP: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.new})
WHERE NOT EXISTS { (s)-[:IN_GENRE]->(:Genre) }
MATCH (:Song {id: row.old})-[r:IN_GENRE]->(g:Genre)
RETURN row.new AS id, r.source AS source, collect(g.name) AS genres
"""

# --- playlists ---------------------------------------------------------------------------------

# What entries of playlists are matched by; a row a song, taken one by one.
SONGS_BY_NAME: Final = """
MATCH (s:Song)
RETURN s.id AS id, s.title AS title, s.artist AS artist, s.albumArtist AS albumArtist,
       s.album AS album, s.duration AS duration, coalesce(s.paths, [s.path]) AS paths,
       s.sourceKey AS key
"""
PLAYLISTS_THERE: Final = """
UNWIND $ids AS id
MATCH (p:Playlist {id: id})
RETURN p.id AS id, p.name AS name, [(p)-[:CONTAINS]->(s:Song) | s.id] AS songs
"""
MERGE_PLAYLISTS: Final = """
UNWIND $rows AS row
MERGE (p:Playlist {id: row.id})
SET p += row.properties
"""
DELETE_PLAYLISTS: Final = "UNWIND $ids AS id MATCH (p:Playlist {id: id}) DETACH DELETE p"
DELETE_CONTAINS: Final = """
UNWIND $ids AS id
MATCH (:Playlist {id: id})-[r:CONTAINS]->(:Song)
DELETE r
"""
CREATE_CONTAINS: Final = """
UNWIND range(0, size($songs) - 1) AS i
MATCH (s:Song {id: $songs[i]})
WITH i, s ORDER BY i
WITH collect(s) AS songs
WHERE size(songs) = size($songs)
UNWIND $rows AS row
MATCH (p:Playlist {id: row[0]})
UNWIND row[1] AS place
WITH p, songs[place[0]] AS s, place
CREATE (p)-[:CONTAINS {position: place[1], count: place[2]}]->(s)
RETURN count(*) AS n
"""
PLAYLIST_NAMES: Final = "MATCH (p:Playlist) RETURN p.id AS id, p.name AS name"
PLAYLISTS: Final = """
MATCH (p:Playlist)
RETURN p.id AS id, p.name AS name, p.path AS path, p.source AS source, p.entries AS entries,
       COUNT { (p)-[:CONTAINS]->(:Song) } AS songs
"""

# --- whom songs are by, and what they are on ---------------------------------------------------

# Of several spellings the first one stays.
MERGE_CREDITS: Final = {
    "Artist": """
UNWIND $rows AS row
MERGE (a:Artist {id: row.key})
ON CREATE SET a.name = row.name
""",
    "Album": """
UNWIND $rows AS row
MERGE (a:Album {id: row.key})
ON CREATE SET a.title = row.name, a.artist = row.artist
""",
}
DELETE_CREDITS_OF: Final = {
    type: f"UNWIND $ids AS id MATCH (:Song {{id: id}})-[r:{type}]->(:{ENDS[type][1]}) DELETE r"
    for type in ("BY", "ON")
}
CREATE_CREDITS: Final = {
    type: f"""
UNWIND range(0, size($keys) - 1) AS i
MATCH (a:{ENDS[type][1]} {{id: $keys[i]}})
WITH i, a ORDER BY i
WITH collect(a) AS ends
WHERE size(ends) = size($keys)
UNWIND $rows AS row
MATCH (s:Song {{id: row[0]}})
WITH s, ends[row[1]] AS a
CREATE (s)-[:{type}]->(a)
RETURN count(*) AS n
"""
    for type in ("BY", "ON")
}
# Counted, so that a model whose predictions were made before can be told at no cost.
COUNT_CHANGE: Final = {
    node: f"MATCH (f:FeatureSpace) SET f.{node}Changes = coalesce(f.{node}Changes, 0) + 1"
    for node in (SONG_NODE, *(node for node, each in FURTHER.items() if each.gathered))
}
UNCREDITED: Final = "MATCH (f:FeatureSpace {uncredited: true}) RETURN count(f) AS n"
ALL_CREDITED: Final = "MATCH (f:FeatureSpace) REMOVE f.uncredited"
SONGS_TO_CREDIT: Final = """
MATCH (s:Song)
WHERE s.artist IS NOT NULL OR s.albumArtist IS NOT NULL
RETURN s.id AS id
"""
CREDITS_THERE: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN s.id AS id, s.artist AS artist, s.albumArtist AS albumArtist, s.album AS album,
       [(s)-[:BY]->(a:Artist) | a.id] AS by_artist, [(s)-[:ON]->(a:Album) | a.id] AS on_album
"""

# --- what networks hear ------------------------------------------------------------------------

MERGE_TAGS: Final = "UNWIND $names AS name MERGE (:Tag {name: name})"
DELETE_TAGS_OF: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[r:HAS_TAG]->(:Tag)
DELETE r
"""
CREATE_HAS_TAG: Final = """
UNWIND range(0, size($tags) - 1) AS i
MATCH (t:Tag {name: $tags[i]})
WITH i, t ORDER BY i
WITH collect(t) AS tags
WHERE size(tags) = size($tags)
UNWIND $rows AS row
MATCH (s:Song {id: row[0]})
UNWIND row[1] AS heard
WITH s, tags[heard[0]] AS t, heard[1] AS weight
CREATE (s)-[:HAS_TAG {weight: weight}]->(t)
RETURN count(*) AS n
"""
TAGS: Final = "MATCH (t:Tag) WHERE t.name IN $names RETURN t.name AS name"
DELETE_BARE_TAGS: Final = "MATCH (t:Tag) WHERE t.name IN $names AND NOT EXISTS { (t)--() } DELETE t"
# Songs that nobody heard tags in are left out.
TAGS_OF_SONGS: Final = """
MATCH (s:Song)
WHERE EXISTS { (s)-[:HAS_TAG]->(:Tag) }
RETURN s.id AS id, s.title AS title, s.path AS path,
       EXISTS { (s)-[:IN_GENRE]->(:Genre) } AS labelled,
       [(s)-[r:HAS_TAG]->(t:Tag) | [t.name, r.weight]] AS tags
"""
SUGGESTED_GENRES: Final = """
MATCH (:Song)-[:SUGGESTED_GENRE]->(g:Genre)
RETURN DISTINCT g.name AS name
"""
SONGS_WITH_SUGGESTIONS: Final = """
MATCH (s:Song)
WHERE EXISTS { (s)-[:SUGGESTED_GENRE]->(:Genre) }
RETURN s.id AS id
"""
DELETE_SUGGESTIONS: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[r:SUGGESTED_GENRE]->(:Genre)
DELETE r
"""
CREATE_SUGGESTIONS: Final = """
UNWIND range(0, size($genres) - 1) AS i
MATCH (g:Genre {name: $genres[i]})
WITH i, g ORDER BY i
WITH collect(g) AS genres
UNWIND $rows AS row
MATCH (s:Song {id: row[0]})
UNWIND row[1] AS told
WITH s, genres[told[0]] AS g, told
CREATE (s)-[:SUGGESTED_GENRE {
  weight: told[1], rank: told[2], source: $source, createdAt: $createdAt
}]->(g)
RETURN count(*) AS n
"""
VECTORS_OF: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
WHERE s[$property] IS NOT NULL
RETURN id, s[$property] AS vector
"""
# Songs that an embedding hasn't heard yet.
SONGS_WITHOUT_VECTOR: Final = """
MATCH (s:Song)
WHERE s[$property] IS NULL
RETURN s.id AS id, coalesce(s.paths, [s.path]) AS paths
"""

KNOWN_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN s.id AS id, s.title AS title, s.path AS path
"""
# Where songs lie; `path` is one of `paths`.
PLACED_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN s.id AS id, s.title AS title, coalesce(s.paths, [s.path]) AS paths
"""

# --- one song, looked up -----------------------------------------------------------------------

# One pass over the songs: how well each fits is for the reader to rank.
SONGS_CALLED: Final = """
MATCH (s:Song)
WHERE s.id = $text OR s.path IN $paths OR s.sourceKey = $text
  OR toLower(s.title) = toLower($text)
  OR any(path IN coalesce(s.paths, []) WHERE path IN $paths)
  OR ($prefix <> '' AND s.id STARTS WITH $prefix)
RETURN s.id AS id, s.title AS title, s.artist AS artist, s.path AS path, s.source AS source,
       s.sourceKey AS key, coalesce(s.paths, []) AS paths
"""
TITLES_LIKE: Final = """
MATCH (s:Song)
WHERE toLower(s.title) CONTAINS toLower($text)
RETURN DISTINCT s.title AS title ORDER BY title LIMIT 5
"""
SONG: Final = "MATCH (s:Song {id: $id}) RETURN properties(s) AS properties"
GENRES_OF_SONG: Final = """
MATCH (:Song {id: $id})-[r:IN_GENRE]->(g:Genre)
RETURN g.name AS name, r.source AS source ORDER BY name
"""
PREDICTIONS_OF_SONG: Final = """
MATCH (:Song {id: $id})-[r:PREDICTED_GENRE]->(g:Genre)
RETURN g.name AS genre, r.probability AS probability, r.score AS score, r.rank AS rank
ORDER BY rank
"""

# --- feature space, clusters, similar songs ----------------------------------------------------

MERGE_FEATURE_SPACE: Final = """
MERGE (f:FeatureSpace {version: $version})
SET f += $properties
"""
# An embedding makes another version of the same space.
RENAME_FEATURE_SPACE: Final = "MATCH (f:FeatureSpace {version: $old}) SET f.version = $version"
FEATURE_SPACES: Final = "MATCH (f:FeatureSpace) RETURN properties(f) AS properties"

# Also locks the node: of two builds at once the later one goes on, and the earlier one notices.
CHECK_BUILDER: Final = """
MATCH (f:FeatureSpace {builder: $builder})
SET f.builder = $builder
RETURN count(f) AS n
"""
CHECK_BUILD: Final = """
MATCH (f:FeatureSpace {build: $build, state: 'complete'})
RETURN count(f) AS n
"""

MERGE_CLUSTERS: Final = """
UNWIND $rows AS row
MERGE (c:FeatureCluster {id: row.id})
SET c.family = row.family, c.index = row.index, c.size = row.size, c.centroid = row.centroid
"""
DELETE_OTHER_CLUSTERS: Final = "MATCH (c:FeatureCluster) WHERE NOT c.id IN $ids DETACH DELETE c"
CLUSTERS: Final = """
MATCH (c:FeatureCluster)
RETURN c.id AS id, c.family AS family, c.index AS index, c.centroid AS centroid
"""

# Deleting first makes each batch safe to repeat; CREATE is then the fastest form. Setting a
# property locks the songs: of two writers the second deletes what the first made. In a library that
# is new nothing has to be deleted, and looking for it would take a fifth of the time.
SET_SPLITS: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row[0]})
SET s.split = row[1], s.recording = row[2]
WITH s
WHERE EXISTS { (s)-[:HAS_FEATURE|SIMILAR_TO]->() }
RETURN s.id AS id
"""
DELETE_LINKS: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[r:HAS_FEATURE|SIMILAR_TO]->(:FeatureCluster|Song)
DELETE r
"""
# Looking a node up costs as much as a relationship: each is looked up once a batch, and the
# relationships name their ends by number, (head, tail, ...). One that is gone leaves no row.
CREATE_HAS_FEATURE: Final = """
UNWIND range(0, size($clusters) - 1) AS i
MATCH (c:FeatureCluster {id: $clusters[i]})
WITH i, c ORDER BY i
WITH collect(c) AS clusters
WHERE size(clusters) = size($clusters)
UNWIND $rows AS row
MATCH (s:Song {id: row[0]})
UNWIND row[1] AS link
WITH s, clusters[link[0]] AS c, link[1] AS family, link[2] AS weight
CREATE (s)-[:HAS_FEATURE {family: family, weight: weight, rank: 1}]->(c)
RETURN count(*) AS n
"""
CREATE_SIMILAR_TO: Final = """
UNWIND range(0, size($songs) - 1) AS i
MATCH (s:Song {id: $songs[i]})
WITH i, s ORDER BY i
WITH collect(s) AS songs
WHERE size(songs) = size($songs)
UNWIND $links AS link
WITH songs[link[0]] AS s, songs[link[1]] AS other, link[2] AS weight
CREATE (s)-[:SIMILAR_TO {weight: weight}]->(other)
RETURN count(*) AS n
"""

# --- reading it all back -----------------------------------------------------------------------

# A list a song, in the order of the songs: the server needs no memory for it, as it would to group
# a million rows. One pass with much in a row is faster than several: a row costs more than values.
SONG_KEYS: Final = """
MATCH (s:Song)
RETURN s.id AS id, coalesce(s.artist, s.albumArtist) AS artist, s.split AS split,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres, s.splitGiven AS given,
       s.recording AS recording, s.title AS title, coalesce(s.path, s.sourceKey) AS path
"""
_TABLE: Final = """
RETURN s.id AS id, coalesce(s.artist, s.albumArtist) AS artist, s.split AS split,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres, s.features AS features,
       [name IN $vectors | s[name]] AS vectors
"""
# What else a song hangs on, a column of keys a node type.
_FURTHER: Final = ",\n       ".join(
    f"[{each.pattern('s', 'n')} | n.{KEYS[each.label]}] AS at_{node}"
    for node, each in FURTHER.items()
)
SONG_TABLE: Final = f"\nMATCH (s:Song){_TABLE}"
SONG_TABLE_OF: Final = f"\nUNWIND $ids AS id MATCH (s:Song {{id: id}}){_TABLE}"
# What single songs hang on: for those that came after a model's last look at the whole graph.
HANGING: Final = f"""
UNWIND $ids AS id
MATCH (s:Song {{id: id}})
RETURN s.id AS id,
       [(s)-[r:HAS_FEATURE]->(c:FeatureCluster) | [c.id, r.family, r.weight]] AS clusters,
       [(s)-[r:SIMILAR_TO]->(other:Song) | [other.id, r.weight]] AS similar,
       {_FURTHER}
"""
ADDED_SONGS: Final = "MATCH (s:Song {addedTo: $build}) RETURN s.id AS id"
SONG_LINKS: Final = """
MATCH (s:Song)
RETURN s.id AS id,
       [(s)-[:HAS_FEATURE]->(c:FeatureCluster) | c.id] AS clusters,
       [(s)-[:SIMILAR_TO]->(other:Song) | other.id] AS others
"""
SONG_IDS: Final = "MATCH (s:Song) RETURN s.id AS id"
SIMILAR_SONGS: Final = """
MATCH (s:Song)
RETURN s.id AS id, [] AS clusters, [(s)-[:SIMILAR_TO]->(other:Song) | other.id] AS others
"""
SONG_FURTHER: Final = f"""
MATCH (s:Song)
RETURN s.id AS id,
       {_FURTHER}
"""
SONG_GENRES: Final = """
MATCH (s:Song)
RETURN s.id AS id, [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres
"""

# --- models and what they say ------------------------------------------------------------------

MERGE_MODEL: Final = "MERGE (m:Model {id: $id}) SET m += $properties"
RETIRE_OTHER_MODELS: Final = """
MATCH (m:Model)
WHERE m.id <> $id AND m.state <> 'superseded' AND m.featureVersion IS NOT NULL
SET m.state = 'superseded'
"""
# A database shared with others may hold Model nodes that aren't ours.
MODELS: Final = """
MATCH (m:Model)
WHERE m.featureVersion IS NOT NULL
RETURN properties(m) AS properties ORDER BY m.createdAt DESC
"""
DELETE_MODEL: Final = "MATCH (m:Model {id: $id}) WHERE m.featureVersion IS NOT NULL DETACH DELETE m"
_UNTOLD: Final = """
WHERE NOT EXISTS { MATCH (s)-[r:PREDICTED_GENRE]->(:Genre) WHERE r.model = $model }
RETURN s.id AS id
"""
SONGS_WITHOUT_PREDICTION: Final = f"\nMATCH (s:Song){_UNTOLD}"
ADDED_WITHOUT_PREDICTION: Final = f"\nMATCH (s:Song {{addedTo: $build}}){_UNTOLD}"
PREDICTED_BY: Final = """
MATCH (s:Song)-[r:PREDICTED_GENRE {rank: 1, model: $model}]->(:Genre)
RETURN s.id AS id
"""
# Before what they were made of, which says whose they are.
DELETE_VERDICTS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
WHERE EXISTS { MATCH (s)-[r:PREDICTED_GENRE]->(:Genre) WHERE r.model = $model }
REMOVE s.predicted, s.doubt, s.novelty
"""
DELETE_PREDICTIONS: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[r:PREDICTED_GENRE]->(:Genre)
WHERE r.model = $model
DELETE r
"""

# Which models the test songs have been shown to; a model that is removed later has still seen them.
LOOKS_AT: Final = "MATCH (t:TestSplit {id: $id}) RETURN t.looks AS looks"
OPEN_TEST_SPLIT: Final = """
MERGE (t:TestSplit {id: $id})
SET t.looks = $looks, t.songs = $songs, t.openedAt = $openedAt
"""
TEST_SPLITS: Final = "MATCH (t:TestSplit) RETURN t.id AS id, t.looks AS looks"

# Locks out whoever else writes predictions until the transaction ends: between looking whether a
# song has some and creating them nobody may come.
LOCK_PREDICTIONS: Final = "MATCH (f:FeatureSpace) SET f.builder = f.builder"
SONGS_WITH_PREDICTIONS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
WHERE EXISTS { (s)-[:PREDICTED_GENRE]->(:Genre) }
RETURN s.id AS id
"""
CREATE_PREDICTIONS: Final = """
UNWIND range(0, size($genres) - 1) AS i
MATCH (g:Genre {name: $genres[i]})
WITH i, g ORDER BY i
WITH collect(g) AS genres
WHERE size(genres) = size($genres)
UNWIND $rows AS row
MATCH (s:Song {id: row[0]})
UNWIND row[1] AS guess
WITH s, genres[guess[0]] AS g, guess
CREATE (s)-[:PREDICTED_GENRE {
  probability: guess[1], score: guess[2], rank: guess[3], model: $model, createdAt: $createdAt
}]->(g)
RETURN count(*) AS n
"""
DELETE_OTHER_PREDICTIONS: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.id})-[r:PREDICTED_GENRE]->(g:Genre)
WHERE NOT g.name IN row.names
DELETE r
"""
# MERGE over what is there rewrites predictions several times faster than deleting and creating.
MERGE_PREDICTIONS: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.id})
UNWIND row.genres AS guess
MATCH (g:Genre {name: guess.name})
MERGE (s)-[r:PREDICTED_GENRE]->(g)
SET r.probability = guess.probability, r.score = guess.score, r.rank = guess.rank,
    r.model = $model, r.createdAt = $createdAt
"""

SET_VERDICTS: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row[0]})
SET s.predicted = row[1], s.doubt = row[2], s.novelty = row[3]
"""

# --- why a song has its genres, and what is like it ----------------------------------------------

SURROUNDINGS: Final = f"""
MATCH (s:Song {{id: $id}})
RETURN s.title AS title, s.path AS path, coalesce(s.artist, s.albumArtist) AS artist,
       s.split AS split, s.features AS features, [name IN $vectors | s[name]] AS vectors,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres,
       [(s)-[:HAS_FEATURE]->(c:FeatureCluster) | [c.family, c.id]] AS clusters,
       [(s)-[:SIMILAR_TO]->(o:Song) | o.id] AS like,
       [(s)<-[:SIMILAR_TO]-(o:Song) | o.id] AS likened,
       {_FURTHER}
"""
# What artists, albums and the like are called.
FURTHER_NAMES: Final = {
    node: f"""
UNWIND $keys AS key
MATCH (n:{each.label} {{{KEYS[each.label]}: key}})
RETURN key, coalesce(n.title, n.name) AS name
"""
    for node, each in FURTHER.items()
}
MODEL_OF_SONG: Final = """
MATCH (:Song {id: $id})-[r:PREDICTED_GENRE {rank: 1}]->(:Genre)
RETURN r.model AS model
"""
# What a neighbour of a song is to people.
NEIGHBOURS_KNOWN: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN id, s.title AS title, s.path AS path, coalesce(s.artist, s.albumArtist) AS artist,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres,
       [(s)-[:PREDICTED_GENRE {rank: 1}]->(g:Genre) WHERE s.doubt IS NULL | g.name] AS told
"""
# Songs around what a song hangs on whose owner says a genre, the song itself left out.
_AROUND: Final = {
    type: f"(n:{label} {{{KEYS[label]}: key}}){left}[:{type}]{right}(o:Song)"
    for type, label, left, right in (
        ("HAS_FEATURE", "FeatureCluster", "<-", "-"),
        *(
            (e.type, e.label, *(("-", "->") if e.to_song == e.edge else ("<-", "-")))
            for e in FURTHER.values()
        ),
    )
}
LABELLED_AROUND: Final = {
    type: f"""
UNWIND $keys AS key
MATCH {around}
WHERE o.id <> $song AND EXISTS {{ (o)-[:IN_GENRE]->(:Genre) }}
RETURN key, count(DISTINCT o) AS songs
"""
    for type, around in _AROUND.items()
}
GENRES_AROUND: Final = {
    type: f"""
UNWIND $keys AS key
MATCH {around}-[:IN_GENRE]->(own:Genre)
MATCH (own)-[:SUBGENRE_OF*0..]->(g:Genre)
WHERE o.id <> $song AND g.name IN $genres AND ($implied OR own.name = g.name)
RETURN key, g.name AS genre, count(DISTINCT o) AS songs
"""
    for type, around in _AROUND.items()
}
# The last ones are printed too, with values written in: see kg.graph.literals.
PATHS: Final = """
MATCH (s:Song {id: $song})-[:PREDICTED_GENRE {rank: $rank}]->(g:Genre)
UNWIND $keys AS key
MATCH (s)-[r:SIMILAR_TO|HAS_FEATURE|HAS_TAG|BY|ON|CONTAINS]-(n)
WHERE key IN [n.id, n.name]
RETURN DISTINCT type(r) AS path, key, coalesce(n.title, n.name) AS title,
       coalesce(n.artist, n.albumArtist) AS artist,
       [(n)-[:IN_GENRE]->(own:Genre) | own.name] AS genres, g.name AS genre,
       COUNT {
         MATCH (n)-[:HAS_FEATURE|HAS_TAG|BY|ON|CONTAINS]-(o:Song)
         WHERE o.id <> s.id
           AND EXISTS { (o)-[:IN_GENRE]->(:Genre)-[:SUBGENRE_OF*0..]->(g) }
       } AS othersOfGenre
"""
LINKED_SONGS: Final = """
MATCH (:Song {id: $id})-[r:SIMILAR_TO]-(o:Song)
RETURN o.id AS id, max(r.weight) AS similarity ORDER BY similarity DESC, id
"""
SHARED: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: $song})
MATCH (o:Song {id: id})
RETURN id, o.title AS title, coalesce(o.artist, o.albumArtist) AS artist,
       [(s)-[:IN_GENRE]->(g:Genre)<-[:IN_GENRE]-(o) | g.name] AS genres,
       [(s)-[:HAS_FEATURE]->(c:FeatureCluster)<-[:HAS_FEATURE]-(o) | c.id] AS clusters,
       [(s)-[:HAS_TAG]->(t:Tag)<-[:HAS_TAG]-(o) | t.name] AS tags,
       EXISTS { (s)-[:SIMILAR_TO]-(o) } AS linked
"""

# --- what is proposed, and what the owner decides ------------------------------------------------

# Locks the song: of two who decide about it the second sees what the first made of it.
LOCK_SONG: Final = "MATCH (s:Song {id: $id}) SET s.id = s.id RETURN s.title AS title"
PROPOSALS_OF_SONG: Final = """
MATCH (:Song {id: $id})-[p:PROPOSED_GENRE]->(g:Genre)
RETURN g.name AS genre, properties(p) AS properties
"""
# What an audit found of songs before, the open ones included.
PROPOSALS_OF_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})-[p:PROPOSED_GENRE]->(g:Genre)
RETURN id, g.name AS genre, p.state AS state, p.was AS was,
       [(s)-[:IN_GENRE]->(f:Genre) | f.name] AS filed
"""
SONGS_WITH_OPEN_PROPOSALS: Final = """
MATCH (s:Song)-[p:PROPOSED_GENRE]->(:Genre)
WHERE p.state = 'open'
RETURN DISTINCT s.id AS id
"""
DELETE_OPEN_PROPOSALS: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[p:PROPOSED_GENRE]->(:Genre)
WHERE p.state = 'open'
DELETE p
"""
MERGE_PROPOSALS: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.id})
MATCH (g:Genre {name: row.genre})
MERGE (s)-[p:PROPOSED_GENRE]->(g)
SET p = row.properties
"""
RENEW_REJECTED: Final = """
UNWIND $rows AS row
MATCH (:Song {id: row.id})-[p:PROPOSED_GENRE]->(:Genre {name: row.genre})
WHERE p.state = 'rejected' AND p.kind = 'label'
SET p.strength = row.properties.strength, p.filedStrength = row.properties.filedStrength,
    p.disputed = row.properties.replaces, p.model = row.properties.model,
    p.evidence = row.properties.evidence, p.createdAt = row.properties.createdAt
"""
# What anybody but its owner says of a song.
SAID_OF_SONG: Final = """
MATCH (:Song {id: $id})-[:PREDICTED_GENRE|SUGGESTED_GENRE|PROPOSED_GENRE]->(g:Genre)
RETURN DISTINCT g.name AS name
"""
DELETE_PROPOSAL: Final = """
MATCH (:Song {id: $id})-[p:PROPOSED_GENRE]->(:Genre {name: $genre})
DELETE p
"""
DELETE_LABELS: Final = """
MATCH (:Song {id: $id})-[r:IN_GENRE]->(g:Genre)
WHERE g.name IN $names
DELETE r
"""
CREATE_LABELS: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: $id})
MATCH (g:Genre {name: row.name})
CREATE (s)-[r:IN_GENRE]->(g)
SET r = row.properties
"""
# The newest first.
DECIDED: Final = """
MATCH (s:Song)-[p:PROPOSED_GENRE]->(g:Genre)
WHERE p.decidedAt IS NOT NULL
RETURN s.id AS id, g.name AS genre, p.decidedAt AS decidedAt
ORDER BY decidedAt DESC LIMIT 1
"""
DECIDED_OF_SONG: Final = """
MATCH (s:Song {id: $id})-[p:PROPOSED_GENRE]->(g:Genre)
WHERE p.decidedAt IS NOT NULL
RETURN s.id AS id, g.name AS genre, p.decidedAt AS decidedAt
ORDER BY decidedAt DESC LIMIT 1
"""
_OF_PROPOSED: Final = """s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist,
       s.album AS album, coalesce(s.paths, [s.path]) AS paths"""
_REJECTED: Final = "[(s)-[d:PROPOSED_GENRE]->(n:Genre) WHERE d.state = 'rejected' | n.name]"
# The surest first.
OPEN_LABELS: Final = f"""
MATCH (s:Song)-[p:PROPOSED_GENRE]->(g:Genre)
WHERE p.state = 'open'
RETURN {_OF_PROPOSED}, g.name AS genre, p.strength AS strength, properties(p) AS properties,
       [(s)-[:IN_GENRE]->(f:Genre) | f.name] AS filed
ORDER BY strength DESC, id
"""
# Songs without a genre of which the model says one that it doesn't doubt.
OPEN_PREDICTIONS: Final = f"""
MATCH (s:Song)-[p:PREDICTED_GENRE {{rank: 1}}]->(:Genre)
WHERE s.doubt IS NULL AND NOT EXISTS {{ (s)-[:IN_GENRE]->(:Genre) }}
RETURN {_OF_PROPOSED}, p.probability AS strength, {_REJECTED} AS rejected,
       [(s)-[r:PREDICTED_GENRE]->(g:Genre) | [g.name, r.probability, r.rank]] AS told
ORDER BY strength DESC, id
"""
# Songs without a genre of which only tags say something.
OPEN_SUGGESTIONS: Final = f"""
MATCH (s:Song)-[p:SUGGESTED_GENRE {{rank: 1}}]->(:Genre)
WHERE NOT EXISTS {{ (s)-[:IN_GENRE]->(:Genre) }}
  AND (s.doubt IS NOT NULL OR NOT EXISTS {{ (s)-[:PREDICTED_GENRE]->(:Genre) }})
RETURN {_OF_PROPOSED}, p.weight AS strength, {_REJECTED} AS rejected,
       [(s)-[r:SUGGESTED_GENRE]->(g:Genre) | [g.name, r.weight, r.rank]] AS told
ORDER BY strength DESC, id
"""

# --- what an audit looks at ----------------------------------------------------------------------

DISPUTED_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist,
       coalesce(s.path, s.sourceKey) AS path,
       [(s)-[:SIMILAR_TO]->(o:Song)-[:IN_GENRE]->(g:Genre) | [o.id, g.name]] AS near
"""
# The last ones are printed, with values written in: see kg.graph.literals.
DISPUTE: Final = """
MATCH (s:Song {id: $song})-[p:PROPOSED_GENRE]->(g:Genre)
RETURN s.title AS title, p.state AS state, [(s)-[:IN_GENRE]->(f:Genre) | f.name] AS filed,
       p.filedStrength AS filedProbability, g.name AS proposed, p.strength AS probability,
       [(s)-[:SIMILAR_TO]->(:Song)-[:IN_GENRE]->(n:Genre) | n.name] AS similarSongs,
       [(s)-[:BY]->(:Artist)<-[:BY]-(:Song)-[:IN_GENRE]->(n:Genre) | n.name] AS artistsOtherSongs
"""
ALL_DISPUTES: Final = """
MATCH (s:Song)-[p:PROPOSED_GENRE {kind: 'label', state: 'open'}]->(g:Genre)
RETURN s.title AS title, coalesce(s.path, s.sourceKey) AS path, p.replaces AS filed,
       p.filedStrength AS filedProbability, g.name AS proposed, p.strength AS probability,
       p.evidence AS evidence
ORDER BY filedProbability, title
"""
ARTISTS_GENRES: Final = """
MATCH (:Artist {id: $artist})<-[:BY]-(s:Song)-[:IN_GENRE]->(g:Genre)
RETURN g.name AS genre, count(s) AS songs,
       collect(coalesce(s.title, s.path, s.sourceKey)) AS titles
ORDER BY songs DESC, genre
"""

# --- that an audit ran ---------------------------------------------------------------------------

MERGE_AUDIT: Final = "MERGE (a:Audit {id: 'audit'}) SET a += $properties"
DELETE_AUDIT: Final = "MATCH (a:Audit {id: 'audit'}) DETACH DELETE a"
LAST_AUDIT: Final = "MATCH (a:Audit {id: 'audit'}) RETURN properties(a) AS properties"
COUNT_DECIDED_SINCE: Final = """
MATCH (:Song)-[p:PROPOSED_GENRE]->(:Genre)
WHERE p.decidedAt > $at
RETURN count(p) AS n
"""

# --- what is wrong with songs' sound, and which are one recording ---------------------------------

UNHEARD_SONGS: Final = """
MATCH (s:Song)
WHERE s.clipping IS NULL AND s.path IS NOT NULL
RETURN s.id AS id, coalesce(s.paths, [s.path]) AS paths
"""
COUNT_UNHEARD: Final = """
MATCH (s:Song)
WHERE s.clipping IS NULL AND s.path IS NOT NULL
RETURN count(s) AS n
"""
FAULTY_SONGS: Final = """
MATCH (s:Song)
WHERE s.missing >= $missing OR s.silence >= $silence OR s.clipping >= $clipping
  OR s.imbalance >= $imbalance
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist, s.path AS path,
       s.missing AS missing, s.silence AS silence, s.clipping AS clipping,
       s.imbalance AS imbalance
"""
SONG_PRINTS: Final = """
MATCH (s:Song)
WHERE s.soundPrint IS NOT NULL
RETURN s.id AS id, s.duration AS duration, s.soundPrint AS print
"""
# Songs that were found to be one recording by their features.
SONGS_OF_RECORDINGS: Final = """
MATCH (s:Song)
WHERE s.recording IS NOT NULL
RETURN s.id AS id, s.recording AS recording
"""
SONGS_OF_SEVERAL_FILES: Final = """
MATCH (s:Song)
WHERE size(s.paths) > 1
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist, s.paths AS paths
ORDER BY id
"""
SONGS_WITH_COPIES: Final = """
MATCH (s:Song)
WHERE EXISTS { (s)-[:SAME_RECORDING]->(:Song) }
RETURN s.id AS id
"""
DELETE_COPIES_OF: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[r:SAME_RECORDING]->(:Song)
DELETE r
"""
CREATE_COPIES: Final = """
UNWIND $rows AS row
MATCH (s:Song {id: row.song})
MATCH (o:Song {id: row.other})
CREATE (s)-[r:SAME_RECORDING]->(o)
SET r = row.properties
"""
COPIED_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN s.id AS id, s.title AS title, coalesce(s.path, s.sourceKey) AS path
"""
COPIES: Final = """
MATCH (s:Song)-[r:SAME_RECORDING]->(o:Song)
RETURN s.id AS song, o.id AS other, s.title AS title, o.title AS otherTitle,
       coalesce(s.path, s.sourceKey) AS path, coalesce(o.path, o.sourceKey) AS otherPath,
       properties(r) AS properties
ORDER BY song, other
"""
# These are printed too, with values written in: see kg.graph.literals.
SOUND_OF_SONG: Final = """
MATCH (s:Song {id: $song})
RETURN s.title AS title, s.path AS path, s.duration AS duration, s.clipping AS clipping,
       s.silence AS silence, s.missing AS missing, s.imbalance AS imbalance
"""
COPIES_SHOWN: Final = """
MATCH (s:Song {id: $song})-[r:SAME_RECORDING]->(o:Song {id: $other})
RETURN s.title AS title, coalesce(s.path, s.sourceKey) AS path, o.title AS otherTitle,
       coalesce(o.path, o.sourceKey) AS otherPath, r.kind AS kind, r.distance AS distance,
       r.later AS later, r.semitones AS semitones, r.speed AS speed
"""
FILES_SHOWN: Final = "MATCH (s:Song {id: $song}) RETURN s.title AS title, s.paths AS paths"

# The newest first.
DECISIONS: Final = """
MATCH (s:Song)-[p:PROPOSED_GENRE]->(g:Genre)
WHERE p.decidedAt IS NOT NULL
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist,
       s.path AS path, g.name AS genre, properties(p) AS properties, p.decidedAt AS decidedAt,
       [(s)-[:IN_GENRE]->(f:Genre) | f.name] AS filed
ORDER BY decidedAt DESC, id
"""

# --- files whose tags are written ----------------------------------------------------------------

OWNERS_WORD: Final = """
MATCH (s:Song)-[:IN_GENRE {source: 'user'}]->(:Genre)
RETURN DISTINCT s.id AS id
"""
TO_BE_TAGGED: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN id, s.title AS title, coalesce(s.paths, [s.path]) AS paths, s.contents AS contents,
       [(s)-[r:IN_GENRE]->(g:Genre) | [g.name, r.source]] AS genres
"""
WRITTEN_CONTENTS: Final = """
MATCH (s:Song)
WHERE s.contents IS NOT NULL
RETURN s.id AS id, s.contents AS contents, s.tagGenres AS genres
"""
CONTENTS_OF_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN id, s.contents AS contents
"""
SONGS_OF_IDS: Final = "UNWIND $ids AS id MATCH (s:Song {id: id}) RETURN id"

# --- comparisons ---------------------------------------------------------------------------------

MERGE_EXPERIMENTS: Final = """
UNWIND $rows AS row
MERGE (e:Experiment {id: row.id})
SET e += row.properties
"""

# A database shared with others may hold Experiment nodes that aren't ours.
EXPERIMENTS: Final = """
MATCH (e:Experiment)
WHERE e.featureVersion IS NOT NULL
RETURN e.run AS run, e.createdAt AS createdAt, e.songs AS songs, e.protocol AS protocol,
       e.model AS model, e.features AS features, e.macroF1 AS macroF1,
       coalesce(e.share, 1.0) AS share
ORDER BY createdAt DESC, run, macroF1 DESC, model, features
"""
DELETE_EXPERIMENTS: Final = """
MATCH (e:Experiment)
WHERE e.featureVersion IS NOT NULL AND e.run IN $runs
DETACH DELETE e
"""

# --- reports -----------------------------------------------------------------------------------

# All that a report says of single songs; one pass.
REPORTED_SONGS: Final = """
MATCH (s:Song)
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist,
       coalesce(s.paths, [s.path]) AS paths, s.duration AS duration, s.split AS split,
       s.recording AS recording, s.doubt AS doubt, s.novelty AS novelty,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres,
       [(s)-[r:PREDICTED_GENRE]->(g:Genre) | [g.name, r.probability, r.rank]] AS told
"""
MOST_SONGS: Final = {
    "artists": """
MATCH (a:Artist)
RETURN a.name AS name, COUNT { (:Song)-[:BY]->(a) } AS songs ORDER BY songs DESC, name LIMIT $most
""",
    "albums": """
MATCH (a:Album)
RETURN a.title AS name, COUNT { (:Song)-[:ON]->(a) } AS songs ORDER BY songs DESC, name LIMIT $most
""",
}
COUNT_FURTHER: Final = {
    "artists": "MATCH (a:Artist) RETURN count(a) AS n",
    "albums": "MATCH (a:Album) RETURN count(a) AS n",
    "playlists": "MATCH (p:Playlist) RETURN count(p) AS n",
}
# The rows of the newest comparison.
LAST_EXPERIMENT: Final = """
MATCH (e:Experiment)
WHERE e.featureVersion IS NOT NULL
WITH e.run AS run, max(e.createdAt) AS createdAt ORDER BY createdAt DESC LIMIT 1
MATCH (e:Experiment {run: run})
WHERE e.featureVersion IS NOT NULL
RETURN properties(e) AS properties
"""

# The rows of the newest comparison that learned from shares of the songs, too.
LAST_LEARNING_CURVE: Final = """
MATCH (e:Experiment)
WHERE e.featureVersion IS NOT NULL AND e.share < 1
WITH e.run AS run, max(e.createdAt) AS createdAt ORDER BY createdAt DESC LIMIT 1
MATCH (e:Experiment {run: run})
WHERE e.featureVersion IS NOT NULL AND e.share IS NOT NULL
RETURN properties(e) AS properties
"""

# --- the explorer --------------------------------------------------------------------------------

# Songs in which each of some words is found, in small letters; one more than a page shows.
_SAID: Final = """toLower(coalesce(s.title, '') + ' ' + coalesce(s.artist, '') + ' '
    + coalesce(s.albumArtist, '') + ' ' + coalesce(s.album, '') + ' ' + coalesce(s.path, ''))"""
_LISTED: Final = """
SKIP $skip LIMIT $most
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist,
       s.album AS album, s.path AS path, s.doubt AS doubt,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres,
       [(s)-[r:PREDICTED_GENRE]->(g:Genre) WHERE r.rank = 1 | [g.name, r.probability]] AS told
"""
# As they came: sorting 100,000 takes seconds.
ALL_SONGS: Final = f"""
MATCH (s:Song)
WITH s{_LISTED}"""
FOUND_SONGS: Final = f"""
MATCH (s:Song)
WHERE all(word IN $words WHERE {_SAID} CONTAINS word)
WITH s ORDER BY s.title, s.id{_LISTED}"""
FOUND_IN_GENRE: Final = f"""
MATCH (:Genre {{name: $genre}})<-[:IN_GENRE]-(s:Song)
WHERE all(word IN $words WHERE {_SAID} CONTAINS word)
WITH s ORDER BY s.title, s.id{_LISTED}"""
GENRES_WITH_SONGS: Final = """
MATCH (g:Genre)
WITH g.name AS name, COUNT { (:Song)-[:IN_GENRE]->(g) } AS songs
WHERE songs > 0
RETURN name, songs ORDER BY songs DESC, name
"""
MAPPED_SONGS: Final = """
MATCH (s:Song)
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist, s.path AS path,
       [(s)-[:IN_GENRE]->(g:Genre) | g.name] AS genres,
       [(s)-[r:PREDICTED_GENRE]->(g:Genre) WHERE r.rank = 1 | g.name] AS told
"""
# Both ways: whichever of two is the copy.
RECORDINGS_OF_SONG: Final = """
MATCH (s:Song {id: $id})-[r:SAME_RECORDING]-(o:Song)
RETURN o.id AS id, o.title AS title, coalesce(o.artist, o.albumArtist) AS artist,
       o.path AS path, startNode(r).id = $id AS first, properties(r) AS properties,
       r.distance AS distance
ORDER BY distance, id
"""

# What the box for the user's own queries offers to begin with.
EXAMPLES: Final = {
    "Songs of each genre": """
MATCH (s:Song)-[:IN_GENRE]->(g:Genre)
RETURN g.name AS genre, count(s) AS songs ORDER BY songs DESC
""",
    "Songs that the model hears otherwise than they are filed": """
MATCH (g:Genre)<-[:IN_GENRE]-(s:Song)-[p:PREDICTED_GENRE {rank: 1}]->(h:Genre)
WHERE g.name <> h.name
RETURN s.title AS song, g.name AS filed, h.name AS heard, p.probability AS probability
ORDER BY probability DESC LIMIT 50
""",
    "Artists of several genres": """
MATCH (a:Artist)<-[:BY]-(s:Song)-[:IN_GENRE]->(g:Genre)
WITH a.name AS artist, collect(DISTINCT g.name) AS genres, count(s) AS songs
WHERE size(genres) > 1
RETURN artist, genres, songs ORDER BY size(genres) DESC, artist LIMIT 50
""",
}

# --- status ------------------------------------------------------------------------------------

COUNT_NODES: Final = {
    "songs": "MATCH (s:Song) RETURN count(s) AS n",
    "labelled": "MATCH (s:Song) WHERE EXISTS { (s)-[:IN_GENRE]->(:Genre) } RETURN count(s) AS n",
    "genres": "MATCH (g:Genre) WHERE EXISTS { (:Song)-[:IN_GENRE]->(g) } RETURN count(g) AS n",
    "clusters": "MATCH (c:FeatureCluster) RETURN count(c) AS n",
    "models": "MATCH (m:Model) WHERE m.featureVersion IS NOT NULL RETURN count(m) AS n",
    # A genre may be called `unknown`: who is doubted has a reason.
    "unknown": "MATCH (s:Song) WHERE s.doubt IS NOT NULL RETURN count(s) AS n",
}
COUNT_RELATIONSHIPS: Final = {
    type: f"MATCH (:{head})-[r:{type}]->(:{tail}) RETURN count(r) AS n"
    for type, (head, tail) in ENDS.items()
}
FIRST_PREDICTED: Final = """
MATCH (s:Song)-[:PREDICTED_GENRE {rank: 1}]->(g:Genre)
RETURN g.name AS name, count(s) AS songs
"""
PREDICTED_SONGS_BY_MODEL: Final = """
MATCH (s:Song)-[r:PREDICTED_GENRE {rank: 1}]->(:Genre)
RETURN r.model AS model, count(s) AS songs
"""

# --- the whole graph, moved --------------------------------------------------------------------

_OUR_NODES: Final = {
    label: f"MATCH (n:{label}) WHERE n.{key} IS NOT NULL"
    # A database shared with others may hold nodes of these labels that aren't ours.
    + (" AND n.featureVersion IS NOT NULL" if label in ("Model", "Experiment", "Audit") else "")
    for label, key in KEYS.items()
}
_OUR_RELATIONSHIPS: Final = {
    type: f"MATCH (a:{head})-[r:{type}]->(b:{tail})" for type, (head, tail) in ENDS.items()
}
READ_NODES: Final = {
    label: f"{ours} RETURN properties(n) AS properties" for label, ours in _OUR_NODES.items()
}
COUNT_OUR_NODES: Final = {
    label: f"{ours} RETURN count(n) AS n" for label, ours in _OUR_NODES.items()
}
READ_RELATIONSHIPS: Final = {
    type: f"{ours} RETURN a.{KEYS[ENDS[type][0]]} AS head, b.{KEYS[ENDS[type][1]]} AS tail, "
    "properties(r) AS properties"
    for type, ours in _OUR_RELATIONSHIPS.items()
}
COUNT_OUR_RELATIONSHIPS: Final = {
    type: f"{ours} RETURN count(r) AS n" for type, ours in _OUR_RELATIONSHIPS.items()
}
# MERGE: the node of a label that kg itself keeps may be there already.
LOAD_NODES: Final = {
    label: f"UNWIND $rows AS row MERGE (n:{label} {{{key}: row.key}}) SET n = row.properties"
    for label, key in KEYS.items()
}
LOAD_RELATIONSHIPS: Final = {
    type: f"""
UNWIND $rows AS row
MATCH (a:{head} {{{KEYS[head]}: row.head}})
MATCH (b:{tail} {{{KEYS[tail]}: row.tail}})
CREATE (a)-[r:{type}]->(b)
SET r = row.properties
"""
    for type, (head, tail) in ENDS.items()
}
# A graph that is being loaded says so, and how many rows of which dump are there.
BEGIN_LOAD: Final = """
MERGE (f:FeatureSpace {version: $version})
SET f.state = 'loading', f.load = $load, f.loaded = 0
"""
# Setting locks the node: of two loads at once the second waits, and then sees what is there.
CHECK_LOAD: Final = """
MATCH (f:FeatureSpace {state: 'loading', load: $load})
SET f.load = $load
RETURN f.loaded AS loaded
"""
ADVANCE_LOAD: Final = "MATCH (f:FeatureSpace {load: $load}) SET f.loaded = $loaded"
LOADS: Final = """
MATCH (f:FeatureSpace {state: 'loading'})
RETURN f.load AS load, f.loaded AS loaded
"""
BUILDS: Final = """
MATCH (f:FeatureSpace)
RETURN f.version AS version, f.state AS state, f.build AS build, f.builder AS builder
ORDER BY version
"""
MODEL_STATES: Final = """
MATCH (m:Model)
WHERE m.featureVersion IS NOT NULL
RETURN m.id AS id, m.state AS state, m.createdAt AS createdAt ORDER BY id
"""

# --- songs that leave --------------------------------------------------------------------------

LEAVING_SONGS: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})
RETURN s.id AS id, s.title AS title, coalesce(s.artist, s.albumArtist) AS artist, s.path AS path,
  s.sourceKey AS key
"""
LEAVING_FROM: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})-[r]->()
RETURN type(r) AS type, count(r) AS n
"""
LEAVING_TO: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})<-[r]-(o)
RETURN type(r) AS type, o.id AS other, 'Song' IN labels(o) AS song
"""
LEAVING_GENRES: Final = """
UNWIND $ids AS id
MATCH (s:Song {id: id})-[r]->(g:Genre)
RETURN g.name AS name, count(r) AS n
"""
HELD_GENRES: Final = """
UNWIND $names AS name
MATCH (g:Genre {name: name})
RETURN name, COUNT { (g)--() } AS n
"""
CLUSTERS_OF_SONGS: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[:HAS_FEATURE]->(c:FeatureCluster)
RETURN DISTINCT c.id AS id
"""
NAMES_OF_LEAVING_GENRES: Final = """
UNWIND $ids AS id
MATCH (:Song {id: id})-[]->(g:Genre)
RETURN DISTINCT g.name AS name
"""
COUNT_SONGS: Final = "UNWIND $ids AS id MATCH (s:Song {id: id}) RETURN count(s) AS n"
DELETE_SONGS: Final = "UNWIND $ids AS id MATCH (s:Song {id: id}) DETACH DELETE s"
CLUSTER_SIZES: Final = """
UNWIND $ids AS id
MATCH (c:FeatureCluster {id: id})
RETURN id, COUNT { (:Song)-[:HAS_FEATURE]->(c) } AS size
"""
SET_CLUSTER_SIZES: Final = """
UNWIND $rows AS row
MATCH (c:FeatureCluster {id: row.id})
SET c.size = row.size
"""
DELETE_BARE_GENRES: Final = """
UNWIND $names AS name
MATCH (g:Genre {name: name})
WHERE NOT EXISTS { (g)--() }
DELETE g
"""
# Nodes of other types that songs hang on, and that go with their last one.
FURTHER_OF: Final = {
    node: f"""
UNWIND $ids AS id
MATCH (s:Song {{id: id}})
MATCH {each.pattern("s", "n")}
RETURN DISTINCT n.{KEYS[each.label]} AS key
"""
    for node, each in FURTHER.items()
    if each.gathered
}
DELETE_BARE: Final = {
    each.label: f"""
UNWIND $keys AS key
MATCH (n:{each.label} {{{KEYS[each.label]}: key}})
WHERE NOT EXISTS {{ (n)--() }}
DELETE n
"""
    for each in FURTHER.values()
    if each.gathered
}
ANY_SONG: Final = "MATCH (s:Song) RETURN s.id AS id LIMIT 1"
DELETE_SPACE: Final = "MATCH (f:FeatureSpace) DETACH DELETE f"
# What data sets and tables call songs.
ALL_SOURCE_KEYS: Final = """
MATCH (s:Song)
WHERE s.sourceKey IS NOT NULL
RETURN s.id AS id, s.sourceKey AS key
"""
ALL_PATHS: Final = """
MATCH (s:Song)
WHERE s.path IS NOT NULL
RETURN s.id AS id, coalesce(s.paths, [s.path]) AS paths
"""
