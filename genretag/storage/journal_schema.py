"""The schema of the journal: one script per version, which ``connect`` runs in order.

Scripts are never edited after a release: databases out there have run them.
"""

from __future__ import annotations

MIGRATIONS = (
    """
CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  began REAL NOT NULL,
  ended REAL,
  version TEXT NOT NULL,
  options TEXT NOT NULL,
  counts TEXT
);
CREATE TABLE change (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL REFERENCES run(id),
  path BLOB NOT NULL,
  target BLOB NOT NULL,
  temp BLOB NOT NULL,
  state TEXT NOT NULL,
  at REAL NOT NULL,
  before TEXT NOT NULL,
  after TEXT,
  content_key TEXT,
  mtime_ns INTEGER NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL,
  delta BLOB,
  undone_by INTEGER
);
CREATE INDEX change_run ON change(run);
CREATE INDEX change_state ON change(state);
CREATE INDEX change_path ON change(path)
""",
    """
CREATE INDEX change_content ON change(content_key)
""",
    """
CREATE TABLE answer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  content_key TEXT NOT NULL UNIQUE,
  genres TEXT NOT NULL,
  at REAL NOT NULL
)
""",
    # What was written, as JSON: field of the tags -> old and new values; NULL: the genre alone.
    # ``supersedes`` is the change that this one took a field back from.
    """
ALTER TABLE change ADD COLUMN fields TEXT;
ALTER TABLE change ADD COLUMN supersedes INTEGER
""",
    # Audio keys of what changes and answers name by content key.
    """
CREATE TABLE audio (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  audio_key TEXT NOT NULL UNIQUE,
  content_key TEXT NOT NULL
)
""",
)

KNOWN_TABLE = "change"  # recognises a journal of 0.1.0, which has no application id
