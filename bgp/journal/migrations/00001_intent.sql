-- +goose Up
CREATE TABLE peers (
    node TEXT PRIMARY KEY,
    spec TEXT NOT NULL CHECK (json_valid(spec))
) STRICT;
CREATE TABLE services (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL CHECK (json_valid(spec))
) STRICT;
CREATE TABLE ports (
    service TEXT PRIMARY KEY,
    port INTEGER NOT NULL UNIQUE CHECK (port BETWEEN 1 AND 65535)
) STRICT;

-- +goose Down
DROP TABLE ports;
DROP TABLE services;
DROP TABLE peers;
