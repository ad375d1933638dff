package cloud

import (
	"net/url"
	"path"
	"strings"
)

// consoleHosts are the hosts that a Destination may name: the console of each
// partition, a region's, and those of multi-session support
// (ACCOUNT-xxxxxxxx.REGION.console.aws.amazon.com).
var consoleHosts = map[string]*pattern{
	"aws":        lazily(`^([a-z0-9-]+\.){0,2}console\.aws\.amazon\.com$`),
	"aws-us-gov": lazily(`^([a-z0-9-]+\.){0,2}console\.amazonaws-us-gov\.com$`),
	"aws-cn":     lazily(`^([a-z0-9-]+\.){0,2}console\.amazonaws\.cn$`),
}

// signinHosts are AWS's sign-in endpoints, the same way.
var signinHosts = map[string]*pattern{
	"aws":        lazily(`^([a-z0-9-]+\.)?signin\.aws\.amazon\.com$`),
	"aws-us-gov": lazily(`^([a-z0-9-]+\.)?signin\.amazonaws-us-gov\.com$`),
	"aws-cn":     lazily(`^([a-z0-9-]+\.)?signin\.amazonaws\.cn$`),
}

// landing is where on our own console page a destination is shown. Nothing
// leaves for the real console: nobody is signed in there.
func (s *Server) landing(destination, partition string) (string, bool) {
	u, err := url.Parse(destination)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", false
	}
	if rest, ours := s.own(u); ours {
		if rest != "" && rest != "/" && rest != "/console" && !strings.HasPrefix(rest, "/console/") {
			return "", false
		}
		return consoleURL(strings.TrimPrefix(rest, "/console"), u), true
	}
	if u.Scheme != "https" || !consoleHosts[partition].MatchString(u.Host) {
		return "", false
	}
	return consoleURL(path.Clean("/"+u.Path), u), true
}

// own says whether u is on this server, and its cleaned path.
func (s *Server) own(u *url.URL) (string, bool) {
	if u.Scheme != s.url.Scheme || u.Host != s.url.Host {
		return "", false
	}
	return path.Clean("/" + u.Path), true
}

// consoleURL keeps path, query and fragment, and puts the region of the host
// name, if it has one, into the query.
func consoleURL(rest string, u *url.URL) string {
	if rest == "" || rest == "/" {
		rest = "/home"
	}
	query := u.Query()
	if region := hostRegion(u.Host); region != "" && query.Get("region") == "" {
		query.Set("region", region)
	}
	to := url.URL{Path: "/console" + rest, RawQuery: query.Encode(), Fragment: u.Fragment}
	return to.String()
}

func hostRegion(host string) string {
	before, _, _ := strings.Cut(host, ".console.")
	labels := strings.Split(before, ".")
	if last := labels[len(labels)-1]; regionName.MatchString(last) {
		return last
	}
	return ""
}

// afterLogout is where a sign-out may lead: our own pages, a console, or the
// federation endpoint itself, which is how logging out and in again goes in
// one hop.
func (s *Server) afterLogout(to string) (string, bool) {
	u, err := url.Parse(to)
	if err != nil || u.User != nil {
		return "", false
	}
	rest, ours := s.own(u)
	for _, hosts := range signinHosts {
		if u.Scheme == "https" && hosts.MatchString(u.Host) {
			rest, ours = path.Clean("/"+u.Path), true
		}
	}
	if ours {
		local := url.URL{Path: rest, RawQuery: u.RawQuery, Fragment: u.Fragment}
		return local.String(), true
	}
	for partition := range consoleHosts {
		if target, ok := s.landing(to, partition); ok {
			return target, true
		}
	}
	return "", false
}

// signinRecipient says whether an assertion posted to the console names an
// AWS sign-in endpoint, or this one, as its Recipient.
func (s *Server) signinRecipient(recipient, partition string) bool {
	if recipient == s.URL()+"/saml" {
		return true
	}
	u, err := url.Parse(recipient)
	return err == nil && u.Scheme == "https" && u.User == nil && signinHosts[partition].MatchString(u.Host) &&
		(u.Path == "/saml" || strings.HasPrefix(u.Path, "/saml/acs/SAMLSP"))
}
