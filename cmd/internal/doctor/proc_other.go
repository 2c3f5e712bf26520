//go:build !linux

package doctor

import "errors"

// What only Linux tells is not known elsewhere.

func listener(string) *process { return &process{} }

// Serving returns 0: the process at a socket is not known here.
func Serving(string) int { return 0 }

func descriptorsOf(int) (uint64, error) { return 0, errors.New("not known on this system") }

func unsynchronised() string { return "" }

func ranFrom(int) (string, bool) { return "", false }
