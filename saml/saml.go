// Package saml is the identity provider: it reads requests and writes signed
// responses. It knows nothing of HTTP sessions, directories or AWS's API.
//
// What it writes comes from one place, canonical.go, which emits exclusive
// canonical form: the bytes that are hashed are the bytes that are sent, and
// every value is escaped by the writer. What it reads is first held to a
// strict reading (request.go): one root, no DTD, no comment, no doubt about
// which attribute or parameter counts. A request that carries a signature is
// verified over what was received, or refused; nothing is believed before.
//
// An answer goes only to an assertion consumer service that the provider's
// registered metadata names, byte for byte.
package saml
