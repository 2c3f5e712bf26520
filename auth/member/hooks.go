package member

import "context"

// Renew renews a member's certificate now, as its Run does when it is due.
func Renew(ctx context.Context, m *Member) error {
	err := m.renew(ctx)
	m.note(err)
	return err
}
