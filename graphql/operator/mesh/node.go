package mesh

// Node is a node of the organisation; what is asked of it is asked when it is wanted.
type Node struct{ ID string }

// IsEntity marks the type for federation.
func (Node) IsEntity() {}
