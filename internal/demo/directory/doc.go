// Package directory is a small LDAP server that keeps its entries in memory:
// the directory of `gatehouse demo`, and of tests.
//
// It speaks LDAPv3 (RFC 4511) over loopback: simple binds, searches with the
// whole filter language, paging, StartTLS, Who am I? and password changes. It
// imitates how OpenLDAP's password policy and Active Directory refuse a bind,
// so that a client can be shown every state an account may be in. An account
// is put into a state by attributes of its entry; bind.go lists them.
//
// It has no schema, no access control beyond "bind first", and nothing can be
// written over LDAP but one's own password. Strings are compared ignoring
// case and runs of spaces, without the Unicode normalisation of RFC 4518.
// Passwords are held in clear: it is no place for real ones, and it refuses
// to listen on anything but loopback.
package directory
