//go:build !unix

package web

import "net"

// mostFiles is how many files the process may have open. 0: nobody knows.
func mostFiles() int { return 0 }

// waiting takes every connection that the kernel holds ready for l: none here.
func waiting(net.Listener) []net.Conn { return nil }

// pending reports whether something came over conn that nobody has read yet:
// here nobody knows.
func pending(net.Conn) bool { return false }
