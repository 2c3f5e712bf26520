package plan

// Introspection answers a `__schema` or `__type` field from the API schema.
type Introspection struct {
	json []byte // the answer, if it depends on no variable
}

// Append appends the field's value as JSON to dst. The function returns the JSON of a client variable, or nil if it has no value.
func (i *Introspection) Append(dst []byte, _ func(name string) []byte) []byte {
	return append(dst, i.json...)
}
