-- +goose Up
CREATE TABLE versions (
    number INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    by     TEXT NOT NULL,
    note   TEXT NOT NULL,
    hash   TEXT NOT NULL,
    source TEXT NOT NULL CHECK (json_valid(source)),
    chain  TEXT NOT NULL
) STRICT;
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    at     INTEGER NOT NULL,
    allow  INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_at ON decisions (at);

-- +goose Down
DROP TABLE decisions;
DROP TABLE versions;
