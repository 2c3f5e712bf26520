package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// policies shows an allowed and a denied call, why, and a change that flips it.
func (s *show) policies(ctx context.Context) error {
	say("a decides by Cedar policies who may call what it offers. So far everybody may. Now nodes of acme.example " +
		"may read below /books, and nothing else:")
	narrow, err := s.policy(ctx, "narrow", "/books*")
	if err != nil {
		return err
	}
	if err := s.order(ctx, "apply", narrow, "--note", "books alone"); err != nil {
		return err
	}
	if _, err := s.callsBooks(ctx, "/books", 200); err != nil {
		return err
	}
	body, err := s.callsBooks(ctx, "/headers", 403)
	if err != nil {
		return err
	}
	id := regexp.MustCompile(`decision (\w+)`).FindStringSubmatch(body)
	if id == nil {
		return fmt.Errorf("the denial has no id: %s", body)
	}
	say("The caller is told an id, and no reason. a's operator finds it: catalyst policy why %s", id[1])
	if err := lab.Eventually(ctx, "policy why", func(ctx context.Context) error {
		out, err := s.a.CLI(ctx, "policy", "why", id[1])
		if err == nil {
			fmt.Print("    " + strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n    ") + "\n")
		}
		return err
	}); err != nil {
		return err
	}
	say("What came closest is put right, and the very next call passes:")
	wide, err := s.policy(ctx, "wide", "/*")
	if err != nil {
		return err
	}
	if err := s.order(ctx, "apply", wide, "--note", "all paths"); err != nil {
		return err
	}
	if _, err := s.callsBooks(ctx, "/headers", 200); err != nil {
		return err
	}
	return s.order(ctx, "rollback", "0")
}

// policy writes a policy by which nodes of acme.example may read books below a path.
func (s *show) policy(ctx context.Context, name, path string) (string, error) {
	text, err := s.Run(ctx, "policy", "template", "--id", "acme-reads-books", "--organisation", "acme.example",
		"--service", "books.acme.example", "--method", "GET")
	if err != nil {
		return "", err
	}
	text = strings.Replace(text, ".contains(context.method)",
		fmt.Sprintf(".contains(context.method) && context.path like %q", path), 1)
	shows("%s", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    "))
	file := filepath.Join(s.Dir, name+".cedar")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// order runs a command of catalyst policy at a, and shows what it says.
func (s *show) order(ctx context.Context, args ...string) error {
	out, err := s.a.CLI(ctx, append([]string{"policy"}, args...)...)
	if err != nil {
		return err
	}
	shows("catalyst policy %s: %s", args[0], strings.TrimSpace(out))
	return nil
}

// callsBooks asks at c for a path of books, and shows the answer.
func (s *show) callsBooks(ctx context.Context, path string, want int) (string, error) {
	status, body, err := s.c.Get(ctx, "books.acme.example", path)
	if err != nil || status != want {
		return body, errors.Join(err, fmt.Errorf("%s: %d %s, want %d", path, status, body, want))
	}
	shows("GET books.acme.example%s at c → %d", path, status)
	return body, nil
}
