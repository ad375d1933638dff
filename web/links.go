package web

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gatehouse"
)

// longestNext bounds a return path: a role page with a console destination
// fits many times over.
const longestNext = 4096

// handle is what the protocol door parks a request under.
var handle = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// localPath is raw when it is a place of ours that a sign-in may lead back
// to, written anew; otherwise it is empty. Browsers read `//host` and
// `/\host` as other sites and drop control characters before they look, so
// the text is parsed and the path compared with our own list, never
// prefix-matched.
func localPath(raw string) string {
	if len(raw) > longestNext || !strings.HasPrefix(raw, "/") || strings.ContainsFunc(raw, deceives) {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") || !returnable(u.Path) {
		return ""
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// deceives reports characters that browsers treat otherwise than url.Parse.
func deceives(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' || r == 0xfffd }

// pages of one person's own that a sign-in may lead back to, and those that
// say which role is meant.
var returnablePages = []string{"/", "/go", "/several", "/me/history", "/me/applications", "/me/sessions", "/me/aws-config", "/saml/continue", "/device", "/authorize", "/v1/authorize"}

// returnable is the list: the portal, a role's page, a shared link, and what
// waits for a sign-in: a SAML request, a program.
func returnable(path string) bool {
	if slices.Contains(returnablePages, path) {
		return true
	}
	part := strings.Split(path, "/")[1:]
	switch {
	case len(part) == 3 && (part[0] == "roles" || part[0] == "why"):
		return gatehouse.AccountID.MatchString(part[1]) && gatehouse.RoleName.MatchString(part[2])
	case part[0] == "go" && len(part) <= 3:
		return accountWord.MatchString(part[1]) && (len(part) == 2 || gatehouse.RoleName.MatchString(part[2]))
	case len(part) == 3 && part[0] == "saml" && part[1] == "continue":
		return handle.MatchString(part[2])
	}
	return false
}

// accountWord is an account in a link: its number, or its name as linkPath
// writes it.
var accountWord = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// loginPath is the sign-in page that leads back to next.
func loginPath(next string) string {
	next = localPath(next)
	if next == "" || next == "/" {
		return "/login"
	}
	return "/login?" + url.Values{"next": {next}}.Encode()
}

// rolePath is the page of one role.
func rolePath(account, role string) string {
	return "/roles/" + account + "/" + url.PathEscape(role)
}

// linkPath is the link that people share. It names the account as they do,
// where its name has a form in ASCII.
func linkPath(e gatehouse.Entitlement) string {
	return "/go/" + accountSlug(e.Account) + "/" + url.PathEscape(e.Role.Name)
}

func accountSlug(a gatehouse.Account) string {
	slug := strings.Trim(unfit.ReplaceAllString(strings.ToLower(a.Name), "-"), "-")
	if !accountWord.MatchString(slug) || strings.ContainsFunc(a.Name, func(r rune) bool { return r > 0x7f }) {
		return a.ID
	}
	return slug
}

// kept writes the named values of q that are there.
func kept(q url.Values, names ...string) string {
	out := url.Values{}
	for _, name := range names {
		for _, v := range q[name] {
			if v != "" {
				out.Add(name, v)
			}
		}
	}
	return out.Encode()
}

// redirect sends the browser to a path of ours, as a GET.
func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}
