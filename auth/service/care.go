package service

import (
	"context"
	"errors"
)

// Care does now what Run does each minute: it forgets what is over, and does what waited for its time.
func Care(ctx context.Context, s *Service) error {
	return errors.Join(s.prune(ctx), s.expireKeys(ctx), s.moveAuthorities(ctx))
}
