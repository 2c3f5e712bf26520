-- +goose Up
-- The set that the nodes of the organisation share, as it was signed: one row.
CREATE TABLE shared (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    head   TEXT NOT NULL CHECK (json_valid(head)),
    packed BLOB NOT NULL
) STRICT;

-- +goose Down
DROP TABLE shared;
