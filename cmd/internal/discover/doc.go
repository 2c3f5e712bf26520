// Package discover offers services that are found where they run: in a directory of files, among the containers of a
// Docker engine, in Kubernetes. What is found is announced and withdrawn as if an operator had said so, and is marked
// with the source that found it.
//
//	room, err := discover.New(discover.Config{Sources: []discover.Source{docker.New(…)}, Hold: 5 * time.Minute, …})
//	err = room.Run(ctx, api) // after what was kept over a restart is offered again
//
// A Source tells its whole set of services each time that it changes. Plan compares all sets with what the node offers
// and says what to do; it reads no clock and touches nothing. Its rules:
//
//   - what an operator ordered is never changed. A source that finds a service of the same name has a conflict, which
//     is named, and the service is the source's as soon as the operator's order is removed;
//   - of two sources that find one name, the one whose service is offered already keeps it; at first it is the one that
//     stands first in the configuration;
//   - a source that is away (its directory is not there, Docker does not answer) withdraws nothing until Hold has
//     passed, counted from when it was last there, or from the start of the node;
//   - what cannot be read at the moment (a file with a mistake in it) goes on being offered as it was.
package discover
