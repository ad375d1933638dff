// Package saml is the identity provider: it reads requests and writes signed
// responses. It knows nothing of HTTP sessions, directories or AWS's API.
package saml
