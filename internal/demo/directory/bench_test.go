package directory

import (
	"fmt"
	"testing"
)

// BenchmarkSearch is one search among 5,000 people and 500 groups.
func BenchmarkSearch(b *testing.B) {
	entries := []Entry{{DN: service, Attributes: map[string][]string{"userPassword": {password}}}}
	for i := range 5000 {
		entries = append(entries, Entry{DN: fmt.Sprintf("CN=p%d,OU=People,%s", i, suffix),
			Attributes: map[string][]string{"uid": {fmt.Sprintf("p%d", i)}, "objectClass": {"inetOrgPerson"}}})
	}
	for i := range 500 {
		g := Entry{DN: fmt.Sprintf("CN=g%d,OU=Groups,%s", i, suffix), Attributes: map[string][]string{"objectClass": {"groupOfNames"}}}
		for j := range 50 {
			g.Attributes["member"] = append(g.Attributes["member"], entries[1+(i*50+j)%5000].DN)
		}
		entries = append(entries, g)
	}
	s := start(b, Config{Entries: entries})
	for name, filter := range map[string]string{
		"person": "(&(objectClass=inetOrgPerson)(uid=p4999))",
		"groups": "(&(objectClass=groupOfNames)(member=CN=p4999,OU=People," + suffix + "))",
		"chain":  "(member:1.2.840.113556.1.4.1941:=CN=p4999,OU=People," + suffix + ")",
	} {
		b.Run(name, func(b *testing.B) {
			c := bound(b, s, service)
			for b.Loop() {
				if r, err := c.Search(ask(filter, "1.1")); err != nil || len(r.Entries) == 0 {
					b.Fatal(len(r.Entries), err)
				}
			}
		})
	}
}
