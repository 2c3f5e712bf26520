package supergraph

import (
	"strconv"
	"strings"
)

// version of a specification. The zero value is none.
type version struct{ major, minor int }

func (v version) less(o version) bool {
	return v.major < o.major || v.major == o.major && v.minor < o.minor
}

func (v version) String() string {
	return "v" + strconv.Itoa(v.major) + "." + strconv.Itoa(v.minor)
}

// parseVersion reads "v2.3".
func parseVersion(s string) (version, bool) {
	s, ok := strings.CutPrefix(s, "v")
	if !ok {
		return version{}, false
	}
	a, b, ok := strings.Cut(s, ".")
	if !ok {
		return version{}, false
	}
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	return version{major, minor}, err1 == nil && err2 == nil && major >= 0 && minor >= 0
}
