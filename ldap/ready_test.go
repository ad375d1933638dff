package ldap_test

import (
	"testing"

	"gatehouse"
	"gatehouse/internal/demo/directory"
)

func TestReady(t *testing.T) {
	s, ca := startDemo(t, directory.Config{Entries: company()})
	d := open(t, config([]string{s.URL()}, ca))
	if f := d.Ready(t.Context()); f.State != gatehouse.FindingOK {
		t.Errorf("%+v", f)
	}
	s.Close()
	if f := d.Ready(t.Context()); f.State != gatehouse.FindingFailure || f.Fix == "" {
		t.Errorf("after the server has gone: %+v", f)
	}
}
