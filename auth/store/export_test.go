package store

import "database/sql"

// ReaderOf reads in a transaction of a test.
func ReaderOf(tx *sql.Tx) Reader { return Reader{tx} }
