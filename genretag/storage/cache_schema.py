"""The schema of the analysis cache: one script per version, which ``connect`` runs in order.

Scripts are never edited after a release: databases out there have run them. The table ``heard``
holds the analyses.
"""

from __future__ import annotations

MIGRATIONS = (
    """
CREATE TABLE model (id TEXT PRIMARY KEY, card TEXT NOT NULL);
CREATE TABLE file (
  path BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  device INTEGER NOT NULL,
  links INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  content_key TEXT NOT NULL,
  genres TEXT NOT NULL,
  field TEXT,
  problem TEXT,
  album TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE heard (
  content_key TEXT NOT NULL,
  model TEXT NOT NULL,
  features INTEGER NOT NULL,
  second_key TEXT,
  seconds REAL NOT NULL,
  share REAL NOT NULL,
  starts BLOB NOT NULL,
  logits BLOB NOT NULL,
  music BLOB NOT NULL,
  embedding BLOB NOT NULL,
  PRIMARY KEY (content_key, model, features)
) WITHOUT ROWID;
CREATE INDEX heard_second ON heard(second_key) WHERE second_key IS NOT NULL;
CREATE TABLE failure (
  path BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  stage TEXT NOT NULL,
  error TEXT NOT NULL,
  times INTEGER NOT NULL,
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE scan (
  run INTEGER PRIMARY KEY,
  model TEXT,
  policy TEXT NOT NULL,
  finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE plan (
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  path BLOB NOT NULL,
  action TEXT NOT NULL,
  row TEXT NOT NULL,
  done INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, ordinal)
) WITHOUT ROWID;
CREATE INDEX plan_path ON plan(path)
""",
    """
ALTER TABLE heard ADD COLUMN picture BLOB
""",
    """
ALTER TABLE scan ADD COLUMN aside INTEGER NOT NULL DEFAULT 0
""",
    """
ALTER TABLE heard ADD COLUMN of INTEGER NOT NULL DEFAULT 0
""",
    # Triggers count changes, so that no statement can forget to.
    ";\n".join(
        [
            "CREATE TABLE generation (number INTEGER NOT NULL)",
            "INSERT INTO generation VALUES (0)",
            "ALTER TABLE scan ADD COLUMN asked TEXT",
            "ALTER TABLE scan ADD COLUMN generation INTEGER",
            *(
                f"CREATE TRIGGER {table}_{what} AFTER {what} ON {table}"
                " BEGIN UPDATE generation SET number = number + 1; END"
                for table in ("file", "heard", "failure", "plan")
                for what in ("INSERT", "UPDATE", "DELETE")
                if (table, what) != ("plan", "DELETE")  # old plans go
            ),
        ]
    ),
    # Every command counts these; without the indexes each count reads every row of a plan.
    """
CREATE INDEX plan_status ON plan(run, json_extract(row, '$.status'));
CREATE INDEX plan_open ON plan(run) WHERE action = 'write' AND done = 0
""",
    """
ALTER TABLE scan ADD COLUMN counts TEXT
""",
    # Content keys became another hash: rows under the old keys cannot be found any more. Their
    # keys are kept to renew the journal, which has them too.
    ";\n".join(
        [
            "CREATE TABLE older_key (sha256 TEXT NOT NULL, content_key TEXT NOT NULL)",
            "INSERT INTO older_key SELECT sha256, content_key FROM file",
            "CREATE INDEX older_key_sha256 ON older_key(sha256)",
            *(f"DELETE FROM {table}" for table in ("heard", "file", "plan", "scan")),
        ]
    ),
    # The scanned folders, as JSON, so that scanning one does not lose the plan of another.
    """
ALTER TABLE scan ADD COLUMN places TEXT
""",
    # The fields beside the genre, as JSON; NULL: an older version read the genre alone.
    """
ALTER TABLE file ADD COLUMN fields TEXT
""",
    # The audio key, a check of the whole file that is cheaper than SHA-256, and analyses of pieces.
    """
ALTER TABLE file ADD COLUMN audio_key TEXT;
ALTER TABLE file ADD COLUMN file_check TEXT;
ALTER TABLE heard ADD COLUMN audio_key TEXT;
ALTER TABLE heard ADD COLUMN piece REAL NOT NULL DEFAULT 0;
CREATE INDEX heard_audio ON heard(audio_key) WHERE audio_key IS NOT NULL
""",
    # Files of one content key may have several audio keys, as a file and its remux do. FLAC's keys
    # of older versions lack the format, so that equal samples at other rates have the same.
    """
CREATE INDEX file_audio ON file(audio_key) WHERE audio_key IS NOT NULL;
UPDATE heard SET second_key = NULL WHERE second_key LIKE 'flac:%' AND second_key NOT LIKE 'flac:%:%'
""",
    # The totals of a plan, as text of ``genretag.report.summary``.
    """
ALTER TABLE scan ADD COLUMN summary TEXT
""",
)

KNOWN_TABLE = "heard"  # recognises a cache of 0.1.0, which has no application id
