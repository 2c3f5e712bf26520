package plan

import "errors"

func (p *Planner) plan(*Operation, *Facts) (*Plan, error) {
	return nil, errors.New("not yet")
}
