package node

import (
	"os"
	"sync"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/forwarding"
	"github.com/catalyst-router/catalyst/cmd/internal/heap"
)

// memory has a node's memory follow what it holds. A node that has much to read at its start hurries first.
type memory struct {
	pace    *heap.Pace // nil where the operator has set GOGC
	slack   heap.Slack
	hurries bool
	ended   chan struct{}
	wait    sync.WaitGroup
}

func keepMemory(cfg *config.Config) *memory {
	m := &memory{slack: heap.Node, hurries: forwarding.KeptMuch(cfg.Data), ended: make(chan struct{})}
	if cfg.Policy.Enforce != "off" {
		m.slack = heap.Judge
	}
	switch {
	case os.Getenv("GOGC") != "":
	case m.hurries:
		m.pace = heap.KeepTight(heap.Starting)
	default:
		m.pace = heap.KeepTight(m.slack)
	}
	return m
}

// from has a node hurry no more once its start is complete.
func (m *memory) from(complete <-chan struct{}) {
	if m.pace == nil || !m.hurries {
		return
	}
	m.wait.Go(func() {
		select {
		case <-complete:
			m.pace.Leave(m.slack)
		case <-m.ended:
		}
	})
}

func (m *memory) stop() {
	close(m.ended)
	m.wait.Wait()
	if m.pace != nil {
		m.pace.Stop()
	}
}
