package operator

import "context"

// PolicyBackend does what the API is asked for about policies.
type PolicyBackend interface {
	Policy(ctx context.Context) (*PolicySet, error)
	PolicyVersions(ctx context.Context, first int) ([]PolicyVersion, error)
	PolicyVersion(ctx context.Context, number int) (*PolicyVersion, error)
	CheckPolicy(ctx context.Context, in PolicyInput) ([]PolicyProblem, error)
	Decisions(ctx context.Context, first int, denied bool) ([]PolicyDecision, error)
	Why(ctx context.Context, decision string) (*PolicyWhy, error)
	SimulatePolicy(ctx context.Context, in PolicyInput, seconds int) (*PolicySimulation, error)
	ApplyPolicy(ctx context.Context, in PolicyInput, note string, anyway bool) (*PolicyVersion, error)
	PolicyNodes(ctx context.Context) ([]PolicyNode, error)
	RollbackPolicy(ctx context.Context, number int, note string) (*PolicyVersion, error)
}

func (q query) Policy(ctx context.Context) (*PolicySet, error) {
	return allowed(ctx, q.resolver, "policy", func() (*PolicySet, error) { return q.b.Policy(ctx) })
}

func (q query) PolicyNodes(ctx context.Context) ([]PolicyNode, error) {
	return allowed(ctx, q.resolver, "policyNodes",
		func() ([]PolicyNode, error) { return q.b.PolicyNodes(ctx) })
}

func (q query) PolicyVersions(ctx context.Context, first int) ([]PolicyVersion, error) {
	return allowed(ctx, q.resolver, "policyVersions",
		func() ([]PolicyVersion, error) { return q.b.PolicyVersions(ctx, first) })
}

func (q query) PolicyVersion(ctx context.Context, number int) (*PolicyVersion, error) {
	return allowed(ctx, q.resolver, "policyVersion",
		func() (*PolicyVersion, error) { return q.b.PolicyVersion(ctx, number) })
}

func (q query) CheckPolicy(ctx context.Context, in PolicyInput) ([]PolicyProblem, error) {
	return allowed(ctx, q.resolver, "checkPolicy", func() ([]PolicyProblem, error) { return q.b.CheckPolicy(ctx, in) })
}

func (q query) Decisions(ctx context.Context, first int, denied bool) ([]PolicyDecision, error) {
	return allowed(ctx, q.resolver, "decisions",
		func() ([]PolicyDecision, error) { return q.b.Decisions(ctx, first, denied) })
}

func (q query) Why(ctx context.Context, decision string) (*PolicyWhy, error) {
	return allowed(ctx, q.resolver, "why", func() (*PolicyWhy, error) { return q.b.Why(ctx, decision) })
}

func (q query) SimulatePolicy(ctx context.Context, in PolicyInput, seconds int) (*PolicySimulation, error) {
	return allowed(ctx, q.resolver, "simulatePolicy",
		func() (*PolicySimulation, error) { return q.b.SimulatePolicy(ctx, in, seconds) })
}

func (m mutation) ApplyPolicy(ctx context.Context, in PolicyInput, note string, anyway bool) (*PolicyVersion, error) {
	return allowed(ctx, m.resolver, "applyPolicy",
		func() (*PolicyVersion, error) { return m.b.ApplyPolicy(ctx, in, note, anyway) })
}

func (m mutation) RollbackPolicy(ctx context.Context, number int, note string) (*PolicyVersion, error) {
	return allowed(ctx, m.resolver, "rollbackPolicy",
		func() (*PolicyVersion, error) { return m.b.RollbackPolicy(ctx, number, note) })
}
