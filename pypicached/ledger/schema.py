"""The ledger's schema, as a list of migrations that only ever grows.

`PRAGMA user_version` counts the migrations that a file has seen. A migration is never edited once
released: a change is a new entry at the end.

Moments are seconds since the epoch (REAL). Digests are 32 raw bytes. `path` is the canonical key
of `simple.urls` (`host/path`). No row holds a credential: file rows hold no URL at all, and page
bodies hold upstream's own links only.
"""

from __future__ import annotations

# Of its own, for whoever empties that table: with such a trigger, that takes seconds.
SHARED_WENT = """
    CREATE TRIGGER shared_went AFTER DELETE ON shared WHEN old.at IS NULL BEGIN
        UPDATE shared_waits SET blobs = blobs - 1, bytes = bytes - old.size_bytes WHERE id = 1;
    END
"""

MIGRATIONS: tuple[str, ...] = (
    """
    -- One project page, or (project = '') the project list, of one index. `body` is the canonical
    -- form, zstd-compressed; NULL when upstream said that there is none.
    CREATE TABLE page (
        id INTEGER PRIMARY KEY,
        index_name TEXT NOT NULL,
        project TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('present', 'absent', 'removed')),
        body BLOB,
        etag TEXT,
        last_modified TEXT,
        serial INTEGER,
        -- PEP 792 project status, where upstream said one.
        status TEXT,
        fetched_at REAL NOT NULL,
        checked_at REAL NOT NULL,
        last_used_at REAL NOT NULL,
        UNIQUE (index_name, project)
    ) STRICT;
    -- invalidate PROJECT without an index; prune of a project.
    CREATE INDEX page_by_project ON page (project);
    -- prune --days, oldest first.
    CREATE INDEX page_by_use ON page (last_used_at);
    -- What is quarantined, at start: almost nothing.
    CREATE INDEX page_quarantined ON page (index_name, project) WHERE status = 'quarantined';

    -- Remembered absence that has run out, so that asking for made-up names leaves nothing.
    CREATE INDEX page_absent ON page (checked_at) WHERE state = 'absent';

    -- Where each index was when its pages were stored: another address is another index.
    CREATE TABLE index_address (
        index_name TEXT NOT NULL PRIMARY KEY,
        url TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- One stored blob. Written after the bytes, removed before them.
    CREATE TABLE blob (
        sha256 BLOB NOT NULL PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        disk_bytes INTEGER NOT NULL,
        last_used_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Eviction takes the least recently used first.
    CREATE INDEX blob_by_use ON blob (last_used_at);

    -- One file of an index: a distribution file, or its core metadata.
    CREATE TABLE file (
        index_name TEXT NOT NULL,
        path TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('file', 'metadata')),
        project TEXT NOT NULL,
        filename TEXT NOT NULL,
        sha256 BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        verified INTEGER NOT NULL,
        first_cached_at REAL NOT NULL,
        last_used_at REAL NOT NULL,
        hits INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (index_name, path, kind)
    ) STRICT, WITHOUT ROWID;
    -- Which rows go with an evicted blob; is a blob still wanted.
    CREATE INDEX file_by_blob ON file (sha256);
    -- list, prune --project; covering what `list` sums.
    CREATE INDEX file_by_project ON file (project, size_bytes, last_used_at, hits);
    -- prune --days, oldest first.
    CREATE INDEX file_by_use ON file (last_used_at);

    -- Files whose name does not tell their project: how a request finds the page that lists them.
    CREATE TABLE odd_file (
        index_name TEXT NOT NULL,
        path TEXT NOT NULL,
        project TEXT NOT NULL,
        PRIMARY KEY (index_name, path)
    ) STRICT, WITHOUT ROWID;
    -- A page that is stored anew drops its old rows.
    CREATE INDEX odd_file_by_project ON odd_file (project, index_name);

    -- Counters per hour (seconds since the epoch, rounded down).
    CREATE TABLE usage (
        hour INTEGER NOT NULL,
        kind TEXT NOT NULL,
        index_name TEXT NOT NULL,
        requests INTEGER NOT NULL DEFAULT 0,
        hits INTEGER NOT NULL DEFAULT 0,
        joins INTEGER NOT NULL DEFAULT 0,
        misses INTEGER NOT NULL DEFAULT 0,
        revalidated INTEGER NOT NULL DEFAULT 0,
        stale INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0,
        bytes_from_cache INTEGER NOT NULL DEFAULT 0,
        bytes_from_upstream INTEGER NOT NULL DEFAULT 0,
        upstream_requests INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (hour, kind, index_name)
    ) STRICT, WITHOUT ROWID;

    -- Most used projects, per hour as above.
    CREATE TABLE project_usage (
        hour INTEGER NOT NULL,
        project TEXT NOT NULL,
        requests INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (hour, project)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- How much there is, so that nobody counts it: one row, true in every transaction.
    CREATE TABLE stored (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        blobs INTEGER NOT NULL,
        disk_bytes INTEGER NOT NULL,
        -- Pages that are present; remembered absence is none.
        pages INTEGER NOT NULL
    ) STRICT;
    INSERT INTO stored
        SELECT 1, COUNT(*), COALESCE(SUM(disk_bytes), 0),
               (SELECT COUNT(*) FROM page WHERE state = 'present')
        FROM blob;
    CREATE TRIGGER blob_came AFTER INSERT ON blob BEGIN
        UPDATE stored SET blobs = blobs + 1, disk_bytes = disk_bytes + new.disk_bytes WHERE id = 1;
    END;
    CREATE TRIGGER blob_grew AFTER UPDATE OF disk_bytes ON blob
    WHEN old.disk_bytes <> new.disk_bytes BEGIN
        UPDATE stored SET disk_bytes = disk_bytes + new.disk_bytes - old.disk_bytes WHERE id = 1;
    END;
    CREATE TRIGGER blob_went AFTER DELETE ON blob BEGIN
        UPDATE stored SET blobs = blobs - 1, disk_bytes = disk_bytes - old.disk_bytes WHERE id = 1;
    END;
    CREATE TRIGGER page_came AFTER INSERT ON page WHEN new.state = 'present' BEGIN
        UPDATE stored SET pages = pages + 1 WHERE id = 1;
    END;
    CREATE TRIGGER page_turned AFTER UPDATE OF state ON page
    WHEN (old.state = 'present') <> (new.state = 'present') BEGIN
        UPDATE stored SET pages = pages + (new.state = 'present') - (old.state = 'present')
        WHERE id = 1;
    END;
    CREATE TRIGGER page_went AFTER DELETE ON page WHEN old.state = 'present' BEGIN
        UPDATE stored SET pages = pages - 1 WHERE id = 1;
    END;

    -- Eviction and prune read oldest first whatever they need of a blob, from the index alone.
    DROP INDEX blob_by_use;
    CREATE INDEX blob_by_use ON blob (last_used_at, sha256, size_bytes, disk_bytes);
    -- Files go with their blobs: nobody asks for them by their own last use any more, and each use
    -- had to write here.
    DROP INDEX file_by_use;
    -- Whether a pin holds a blob, and what `prune` says of it, from the index alone.
    DROP INDEX file_by_blob;
    CREATE INDEX file_by_blob ON file (sha256, project, filename);
    """,
    """
    -- When the index took a file in (`[policy] min_age` goes by it), and since when its page lists
    -- it no more.
    ALTER TABLE file ADD COLUMN uploaded_at REAL;
    ALTER TABLE file ADD COLUMN removed_at REAL;
    -- `status` tells of what was removed: almost nothing.
    CREATE INDEX file_removed ON file (kind, project, index_name, filename)
    WHERE removed_at IS NOT NULL;
    """,
    """
    -- Which client fetched which file, or (refused = 1) was refused it; `filename` is empty where a
    -- whole project was. `client` is 16 bytes, those of IPv4 mapped (RFC 4291 §2.5.5.2), or empty
    -- for a Unix socket. `agent` is tool and version.
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        project TEXT NOT NULL,
        refused INTEGER NOT NULL,
        filename TEXT NOT NULL,
        index_name TEXT NOT NULL,
        client BLOB NOT NULL,
        agent TEXT NOT NULL,
        first_at REAL NOT NULL,
        last_at REAL NOT NULL,
        count INTEGER NOT NULL,
        -- who REQUIREMENT.
        UNIQUE (project, refused, filename, index_name, client, agent)
    ) STRICT;
    -- who --client.
    CREATE INDEX audit_by_client ON audit (refused, client);
    -- What goes by age, or because there is too much of it.
    CREATE INDEX audit_by_use ON audit (refused, last_at);

    -- Of each kind: since when nothing is missing (NULL: it is off), and how many rows there are.
    CREATE TABLE audit_kept (
        refused INTEGER PRIMARY KEY,
        complete_since REAL,
        kept INTEGER NOT NULL
    ) STRICT;
    INSERT INTO audit_kept VALUES (0, NULL, 0), (1, NULL, 0);
    CREATE TRIGGER audit_came AFTER INSERT ON audit BEGIN
        UPDATE audit_kept SET kept = kept + 1 WHERE refused = new.refused;
    END;
    CREATE TRIGGER audit_went AFTER DELETE ON audit BEGIN
        UPDATE audit_kept SET kept = kept - 1 WHERE refused = old.refused;
    END;
    """,
    """
    -- How often an index has moved: its pages are kept under its name and this number, so that
    -- those of before a move are nobody's at once, however many there are (`ledger.spaces`).
    ALTER TABLE index_address ADD COLUMN space INTEGER NOT NULL DEFAULT 0;
    -- Whose pages are nobody's, and yet to be removed: as `page.index_name` has it.
    CREATE TABLE void_space (name TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
    """,
    """
    -- What this host knows of the shared store. `at`: when the blob was known to be there last, by
    -- our clock; NULL: it is yet to be put there, not before `not_before`, and was tried so often.
    CREATE TABLE shared (
        sha256 BLOB NOT NULL PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        at REAL,
        wanted_at REAL NOT NULL,
        not_before REAL NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX shared_waiting ON shared (not_before, wanted_at, size_bytes) WHERE at IS NULL;
    -- Since when the oldest waits: what is refused again and again is behind others in their turn.
    CREATE INDEX shared_oldest ON shared (wanted_at) WHERE at IS NULL;
    -- How much waits: `status` asks for it, and it may be a million.
    CREATE TABLE shared_waits (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        blobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO shared_waits VALUES (1, 0, 0);
    CREATE TRIGGER shared_came AFTER INSERT ON shared WHEN new.at IS NULL BEGIN
        UPDATE shared_waits SET blobs = blobs + 1, bytes = bytes + new.size_bytes WHERE id = 1;
    END;
    CREATE TRIGGER shared_changed AFTER UPDATE OF at, size_bytes ON shared BEGIN
        UPDATE shared_waits SET
            blobs = blobs + (new.at IS NULL) - (old.at IS NULL),
            bytes = bytes + (new.at IS NULL) * new.size_bytes - (old.at IS NULL) * old.size_bytes
        WHERE id = 1;
    END;
    -- Which store it is, and up to which digest what was here before has been queued for it (NULL:
    -- all of it).
    CREATE TABLE shared_store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        identity TEXT NOT NULL,
        queued_to BLOB
    ) STRICT;
    """  # noqa: S608 - a constant of ours
    + SHARED_WENT,
)

VERSION = len(MIGRATIONS)
