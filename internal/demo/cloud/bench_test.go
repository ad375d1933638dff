package cloud_test

import "testing"

// BenchmarkAssumeRoleWithSAML is one call as the SDK makes it: loopback,
// every row, minted keys. What a judge costs is not what AWS costs: a
// benchmark of the product should talk to a server with a canned answer.
func BenchmarkAssumeRoleWithSAML(b *testing.B) {
	s := start(b)
	encoded := usual().encoded(b)
	for b.Loop() {
		if _, err := assume(b, s, encoded); err != nil {
			b.Fatal(err)
		}
	}
}
