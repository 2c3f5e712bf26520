// Package record keeps what happened to a speaker, event by event, so that it can be looked at again: the same events
// give the same tables and the same messages.
//
//	rec, err := record.Open(record.Config{Dir: dir, Bytes: 256 << 20, Log: log})
//	go rec.Run(ctx)                                   // writes; the router gives it events and waits for nothing
//	res, err := record.Replay(files, record.Options{Each: func(s *record.Step) error { … }})
//
// A recording is a few files (segments) in a directory. A file begins with what the speaker was made of, and can be
// replayed by itself: the first from an empty speaker, event by event exactly as it was; a later one from a
// checkpoint, events that rebuild the tables, the sessions and their deadlines. Beside each event stands a digest of
// what the speaker did then, so that a replay knows whether it does the same. The oldest file goes when there is no
// room for another. What cannot be written in time is left out, and the next file begins with a checkpoint: a
// recording never slows routing down.
//
// Events hold names, addresses, rules and attributes, and no key, token or certificate.
package record
