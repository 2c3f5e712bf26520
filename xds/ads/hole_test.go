package ads

import (
	"testing"
	"testing/synctest"
	"time"
)

// What the random test has found, one by one.
func TestHoles(t *testing.T) {
	const http, tcp = "s0.acme.example", "s2.acme.example"
	for name, steps := range map[string]func(p *plant){
		"a next hop goes while the new way has a workload that is refused": func(p *plant) {
			p.way(http, via("a"))
			p.settle()
			p.way(http)
			p.way(http, via("b"), local(bad, 1))
		},
		"the new way becomes impossible after the scope waits for its cluster": func(p *plant) {
			p.way(http, via("a"))
			p.settle()
			p.way(http)
			p.start()
			p.complete()
			p.way(http, via("b"), local(bad, 1))
		},
		"a version that was taken but not kept is replaced after a restart": func(p *plant) {
			p.way(http, local("a", 1), via("a"))
			p.settle()
			p.way(http, local("a", 2), via("a"))
			p.send()
			p.way(http, via(bad))
			p.read()
			p.start()
			p.complete()
		},
		"a service is back before its removal is answered": func(p *plant) {
			p.way(tcp, local("a", 1))
			p.send()
			p.read()
			for p.send() { // up to the cluster, before its listener
				p.way(tcp)
			}
			p.way(tcp)
			for p.read() {
			}
			p.send()
			p.way(tcp, local("a", 2))
		},
		"a way is back before Envoy knows that it had gone": func(p *plant) {
			p.way(http, via("a"))
			p.way("s1.acme.example", via("b"))
			p.settle()
			p.way(http)
			p.send() // the removal, with that of the scout
			p.way("s1.acme.example", via("a"))
		},
		"an answer comes after the removal was sent": func(p *plant) {
			p.way(tcp, local("a", 1))
			p.send()
			p.read()
			p.send() // the cluster
			p.way(tcp)
			p.send() // nothing, and for how long
			time.Sleep(removalPatience)
			p.send() // the removal, since nothing came
			p.read()
			p.way(tcp, local("a", 2))
		},
		"a workload is refused after the scope has gone out": func(p *plant) {
			p.way(http, local("a", 1), via("a"))
			p.send()
			p.read()
			p.send()
			p.way(http)
			p.way(http, via("a"))
			p.way(http, local(bad, 1), via("a"))
			p.send()
			p.send()
			p.read()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t)
				steps(p)
				p.settle()
				p.verdict()
			})
		})
	}
}
