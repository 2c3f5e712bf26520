// Package hostile attacks a real gateway: operations that are deep, wide or endless, bodies that never end, and
// subgraphs that lie, flood and fall silent. Limits have to hold, errors have to say what happened, and memory has to
// stay within bounds. Run it with make e2e.
package hostile
