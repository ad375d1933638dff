package saml

// Status is what a Response says instead of an assertion: a code of the first
// level, and one of the second that says more (saml-core §3.2.2.2).
type Status struct {
	Code   string
	Detail string
}
