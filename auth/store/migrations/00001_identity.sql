-- +goose Up
-- The same statements for SQLite and PostgreSQL: text, and whole numbers. Times are milliseconds since 1970, 0 for never.
CREATE TABLE head (
	id   BIGINT PRIMARY KEY CHECK (id = 1),
	seq  BIGINT NOT NULL, -- of the last audit entry; every change of anything adds one
	hash TEXT   NOT NULL
);
INSERT INTO head (id, seq, hash) VALUES (1, 0, '');

CREATE TABLE counters (
	name  TEXT   PRIMARY KEY,
	value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('revocation', 0);

CREATE TABLE audit (
	seq     BIGINT PRIMARY KEY,
	at      BIGINT NOT NULL,
	actor   TEXT   NOT NULL,
	action  TEXT   NOT NULL,
	target  TEXT   NOT NULL,
	outcome TEXT   NOT NULL,
	detail  TEXT   NOT NULL,
	prev    TEXT   NOT NULL,
	hash    TEXT   NOT NULL
);

CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

CREATE TABLE signing_keys (
	kid       TEXT   PRIMARY KEY,
	slot      TEXT   NOT NULL,
	sealed    TEXT   NOT NULL,
	published BIGINT NOT NULL,
	signs     BIGINT NOT NULL,
	ends      BIGINT NOT NULL
);

CREATE TABLE authorities (
	id        TEXT   PRIMARY KEY,
	slot      TEXT   NOT NULL,
	chain     TEXT   NOT NULL,
	sealed    TEXT   NOT NULL,
	published BIGINT NOT NULL,
	signs     BIGINT NOT NULL,
	ends      BIGINT NOT NULL
);

CREATE TABLE tokens (
	jti        TEXT   PRIMARY KEY,
	parent     TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	principal  TEXT   NOT NULL,
	entity     TEXT   NOT NULL,
	audience   TEXT   NOT NULL,
	thumbprint TEXT   NOT NULL,
	kid        TEXT   NOT NULL,
	minter     TEXT   NOT NULL,
	issued     BIGINT NOT NULL,
	expires    BIGINT NOT NULL
);
CREATE INDEX tokens_expires ON tokens (expires);
CREATE INDEX tokens_subject ON tokens (subject);
CREATE INDEX tokens_thumbprint ON tokens (thumbprint);
CREATE INDEX tokens_parent ON tokens (parent);

CREATE TABLE joins (
	hash    TEXT   PRIMARY KEY,
	node    TEXT   NOT NULL,
	minter  TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	used    BIGINT NOT NULL,
	csr_key TEXT   NOT NULL,
	chain   TEXT   NOT NULL
);
CREATE INDEX joins_node ON joins (node);

CREATE TABLE nodes (
	node       TEXT   PRIMARY KEY,
	state      TEXT   NOT NULL,
	node_key   TEXT   NOT NULL,
	joined     BIGINT NOT NULL,
	renewed    BIGINT NOT NULL,
	expires    BIGINT NOT NULL,
	serial     TEXT   NOT NULL,
	thumbprint TEXT   NOT NULL,
	credits    BIGINT NOT NULL,
	credits_at BIGINT NOT NULL,
	continuity TEXT   NOT NULL, -- hash of what its next renewal has to show
	former     TEXT   NOT NULL, -- hash of what the last one showed, for an answer that was lost
	roots      TEXT   NOT NULL, -- hash of the roots that it said it uses
	alarm      TEXT   NOT NULL
);

CREATE TABLE certificates (
	serial     TEXT   PRIMARY KEY,
	subject    TEXT   NOT NULL,
	thumbprint TEXT   NOT NULL,
	authority  TEXT   NOT NULL,
	issued     BIGINT NOT NULL,
	expires    BIGINT NOT NULL
);
CREATE INDEX certificates_subject ON certificates (subject);
CREATE INDEX certificates_expires ON certificates (expires);

CREATE TABLE revocations (
	kind    TEXT   NOT NULL,
	value   TEXT   NOT NULL,
	seq     BIGINT NOT NULL UNIQUE,
	reason  TEXT   NOT NULL,
	at      BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	lifted  BIGINT NOT NULL,
	PRIMARY KEY (kind, value)
);
