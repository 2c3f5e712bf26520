package live

import "maps"

// Memory keeps which subgraphs are in the graph, by name, and with which schema, while no registry runs.
type Memory interface {
	// Load returns what was saved last; nothing if there is nothing.
	Load() (map[string]string, error)
	Save(members map[string]string) error
}

// recall reads who was in the graph when the last registry ended.
func (r *Registry) recall() {
	if r.cfg.Memory == nil {
		return
	}
	members, err := r.cfg.Memory.Load()
	if err != nil {
		r.cfg.Log.Warn("who was in the graph before is not known: of subgraphs that do not go together the later name "+
			"is left out", "error", err)
		return
	}
	r.state.remembered = members
	r.saved = maps.Clone(members)
}

// remember saves who is in the graph, if that has changed. One composition is made at a time.
func (r *Registry) remember(members map[string]string) {
	if r.cfg.Memory == nil || maps.Equal(members, r.saved) {
		return
	}
	if err := r.cfg.Memory.Save(members); err != nil {
		r.cfg.Log.Warn("who is in the graph was not saved, and is not known after a restart", "error", err)
		return
	}
	r.saved = members
}
