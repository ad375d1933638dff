package ldap

// What the tests of a real domain look at from inside.
var WindowsWalk = (*Directory).windowsWalk
