package saml

import (
	"errors"
	"io"
)

// errTooLarge: there is more than we are ready to read.
var errTooLarge = errors.New("it is too large")

// limited reads at most left bytes, and says so when there are more: nothing
// is cut off unseen.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if len(p) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if n > l.left {
		return l.left, errTooLarge
	}
	l.left -= n
	return n, err
}
