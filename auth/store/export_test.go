package store

import "database/sql"

// ReaderOf reads in a transaction of a test.
func ReaderOf(tx *sql.Tx) Reader { return Reader{tx} }

// Pragma sets something of the connection that writes.
func Pragma(s *Store, what string) {
	if _, err := s.write.Exec("PRAGMA " + what); err != nil {
		panic(err)
	}
}
