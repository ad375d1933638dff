package web

import (
	"bytes"
	"encoding/json"
)

// visits remembers how session records were read. Somebody in thousands of
// groups has a record of hundreds of kilobytes, and reading it would be most
// of what a page costs. The store is asked each time, all the same: only a
// record that is byte for byte the one that was read is not read again.
type visits struct{ kitchen *kitchen }

// visitsBytes is how much of sessions is remembered.
const visitsBytes = 64 << 20

func newVisits() visits { return visits{newKitchen(visitsBytes)} }

// seen is a record and what it says. Nobody changes what it points to.
type seen struct {
	body  []byte
	visit visit
}

// visit is what the record of a session says, as a copy of its own.
func (m visits) visit(id string, body []byte) (*visit, error) {
	key := keyOf([]byte(id))
	if s, ok := m.kitchen.get(key).(seen); ok && bytes.Equal(s.body, body) {
		v := s.visit
		return &v, nil
	}
	v := new(visit)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, err
	}
	m.kitchen.put(key, 4*len(body), seen{bytes.Clone(body), *v})
	return v, nil
}
