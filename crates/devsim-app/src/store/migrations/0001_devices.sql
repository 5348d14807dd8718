-- Times are microseconds since 1970, UTC. Texts that are searched have a case-folded twin.

-- One row: the oldest program that may use this schema. A migration that such a program could not live
-- with raises it; all others leave it, so that an upgrade can be taken back.
CREATE TABLE schema_info (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    oldest_program INTEGER NOT NULL
) STRICT;

INSERT INTO schema_info (id, oldest_program) VALUES (1, 1);

-- Tables that were saved: written once, never changed, shared by a device and its duplicates, and deleted
-- with the last device that leaves them. AUTOINCREMENT: a reader that goes from block to block must never
-- find another table under the same number.
CREATE TABLE datasets (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    head      TEXT    NOT NULL,                              -- JSON: csv_data without its data
    row_count INTEGER NOT NULL,
    has_data  INTEGER NOT NULL CHECK (has_data IN (0, 1)),   -- rows came as data, else as json_preview
    bytes     INTEGER NOT NULL                               -- of all blocks joined by commas
) STRICT;

-- Their rows as verbatim JSON objects, joined by commas.
CREATE TABLE dataset_blocks (
    dataset   INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    first_row INTEGER NOT NULL,
    rows      TEXT    NOT NULL,
    PRIMARY KEY (dataset, first_row)
) STRICT;

CREATE TABLE devices (
    id                           INTEGER PRIMARY KEY AUTOINCREMENT,
    reference                    TEXT    NOT NULL UNIQUE CHECK (length(reference) = 8),
    name                         TEXT    NOT NULL,
    name_folded                  TEXT    NOT NULL,
    description                  TEXT,
    description_folded           TEXT    NOT NULL,
    created_at                   INTEGER NOT NULL,
    device_type                  TEXT    NOT NULL DEFAULT 'WebApp' CHECK (device_type IN ('WebApp', 'Sensor')),
    transmission_frequency       INTEGER NOT NULL DEFAULT 3600 CHECK (transmission_frequency BETWEEN 1 AND 86400),
    transmission_enabled         INTEGER NOT NULL DEFAULT 0 CHECK (transmission_enabled IN (0, 1)),
    current_row_index            INTEGER NOT NULL DEFAULT 0 CHECK (current_row_index >= 0),
    last_transmission            INTEGER,
    selected_connection_id       INTEGER,
    include_device_id_in_payload INTEGER NOT NULL DEFAULT 0 CHECK (include_device_id_in_payload IN (0, 1)),
    auto_reset_counter           INTEGER NOT NULL DEFAULT 0 CHECK (auto_reset_counter IN (0, 1)),
    current_project_id           INTEGER,
    dataset                      INTEGER REFERENCES datasets (id),
    first_row                    INTEGER,                    -- the part of the dataset to send; NULL: from its beginning
    end_row                      INTEGER,                    -- NULL: to its end
    options                      TEXT    NOT NULL DEFAULT '{}',
    revision                     INTEGER NOT NULL DEFAULT 1  -- rises with every change of configuration or table
) STRICT;

CREATE INDEX devices_newest ON devices (created_at DESC, id DESC);
CREATE INDEX devices_newest_of_project ON devices (current_project_id, created_at DESC, id DESC);
CREATE INDEX devices_by_dataset ON devices (dataset);
