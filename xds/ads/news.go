package ads

// What happens is told to observers, the store and the log after the lock is released, in the order in which it
// happened, and by one goroutine at a time. So an observer may be slow, or ask the server something, and no Envoy
// waits for it. An example: two Envoys acknowledge the versions 1 and 2 of a resource one after the other, each in
// its own goroutine; the store is told of 1 before 2, whichever of the goroutines tells.

// tell keeps something to be told until the lock is released. The caller holds mu.
func (s *Server) tell(what func()) { s.news = append(s.news, what) }

// unlock releases mu and tells what there is, unless another goroutine is telling: that one goes on until nothing is
// left.
func (s *Server) unlock() {
	if s.telling {
		s.mu.Unlock()
		return
	}
	s.telling = true
	for len(s.news) > 0 {
		news := s.news
		s.news = nil
		s.mu.Unlock()
		for _, what := range news {
			what()
		}
		s.mu.Lock()
	}
	s.telling = false
	s.mu.Unlock()
}
