//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// verify wants everything to be as it should be when nothing is wrong.
func (w *world) verify(ctx context.Context) {
	for _, name := range nodes {
		n := w.lab.Nodes[name]
		w.eventually(ctx, name+" knows what is offered", func(ctx context.Context) error { return w.table(ctx, n) })
		for _, s := range w.services {
			w.eventually(ctx, fmt.Sprintf("%s at %s, offered as %v", s.name, name, s.offers),
				func(ctx context.Context) error { return w.answer(ctx, n, s) })
		}
		w.eventually(ctx, "the Envoy of "+name+" has all it can have",
			func(ctx context.Context) error { return w.envoy(ctx, n) })
	}
	w.logs()
}

func (w *world) eventually(ctx context.Context, what string, try func(context.Context) error) {
	if w.t.Failed() {
		return
	}
	if err := lab.Eventually(ctx, what, try); err != nil {
		w.t.Error(err)
	}
}

// table compares the services that a node knows with those that are offered.
func (w *world) table(ctx context.Context, n *lab.Node) error {
	var list []struct{ Service string }
	if err := n.JSON(ctx, &list, "route", "list"); err != nil {
		return err
	}
	var got, want []string
	for _, r := range list {
		got = append(got, strings.TrimSuffix(r.Service, "."+org))
	}
	for _, s := range w.services {
		if len(s.offers) > 0 {
			want = append(want, s.name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("it knows %v, want %v", got, want)
	}
	return nil
}

// may returns the instances that may answer at a node; none if nobody offers the service. It is false if somebody
// offers it with a bad address: then who serves it depends on what went before.
func (w *world) may(n *lab.Node, s *service) ([]string, bool) {
	var all []string
	for _, instance := range s.offers {
		if instance == nosuch {
			return nil, false
		}
		all = append(all, instance)
	}
	if own := s.offers[n.Name]; own != "" {
		return []string{own}, true
	}
	return all, true
}

// answer asks a service at a node.
func (w *world) answer(ctx context.Context, n *lab.Node, s *service) error {
	instances, ok := w.may(n, s)
	if !ok {
		return nil
	}
	if s.protocol == "tcp" {
		return w.line(ctx, n, s, instances)
	}
	status, body, err := n.Get(ctx, s.name+"."+org, "/books")
	switch {
	case err != nil:
		return err
	case len(instances) == 0 && status == http.StatusNotFound:
		return nil
	case status == http.StatusOK && slices.ContainsFunc(instances,
		func(i string) bool { return strings.Contains(body, i) }):
		return nil
	}
	return fmt.Errorf("%d %s, want one of %v", status, body, instances)
}

// line asks a TCP service.
func (w *world) line(ctx context.Context, n *lab.Node, s *service, instances []string) error {
	at, err := n.TCPPort(ctx, s.name)
	if len(instances) == 0 {
		if err == nil {
			return errors.New("it has a port still")
		}
		return nil
	}
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		return err
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if i, _, _ := strings.Cut(got, ":"); !slices.Contains(instances, i) {
		return fmt.Errorf("%q, want one of %v", got, instances)
	}
	return nil
}

// envoy wants that a node has one Envoy, which has answered everything, and refuses nothing but bad addresses.
func (w *world) envoy(ctx context.Context, n *lab.Node) error {
	var all []struct {
		Outstanding int
		Types       []struct {
			Type               string
			Sent, Acknowledged int
		}
		Refused []struct{ Error string }
	}
	if err := n.JSON(ctx, &all, "envoy", "status"); err != nil {
		return err
	}
	if len(all) != 1 || all[0].Outstanding > 0 {
		return fmt.Errorf("%+v", all)
	}
	for _, t := range all[0].Types {
		if t.Sent != t.Acknowledged {
			return fmt.Errorf("%+v", t)
		}
	}
	bad := slices.ContainsFunc(w.services, func(s *service) bool {
		_, ok := w.may(n, s)
		return !ok
	})
	if len(all[0].Refused) > 0 && !bad {
		return fmt.Errorf("%+v", all[0].Refused)
	}
	return nil
}
