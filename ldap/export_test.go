package ldap

// What the tests of a real domain look at from inside.
var WindowsWalk = (*Directory).windowsWalk

// NewWithResolver is New with a DNS of the test's own.
var NewWithResolver = newDirectory

// Preferred is the server that is asked first.
func Preferred(d *Directory) string {
	d.pool.servers.mu.Lock()
	defer d.pool.servers.mu.Unlock()
	if d.pool.servers.healthy == nil {
		return ""
	}
	return d.pool.servers.healthy.url
}

// RestMax is the longest that a preferred server waits for its next probe.
const RestMax = restMax
