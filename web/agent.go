package web

import "strings"

// agent is what a browser says that it is, as far as we know the words. None
// of its own words is kept: whatever somebody sends, a name of ours is shown.
type agent struct {
	Browser string `json:"browser,omitempty"`
	System  string `json:"system,omitempty"`
}

// longestAgent is how much of a User-Agent is looked at. Browsers say all that
// counts within 200 bytes.
const longestAgent = 512

// product is a word of the User-Agent, and what people call what says it.
type product struct{ says, name string }

// agentOf reads a User-Agent (RFC 9110 §10.1.5). Browsers name their forebears
// as well, so that the first word of the tables counts, wherever it stands.
func agentOf(header string) agent {
	header = header[:min(len(header), longestAgent)]
	return agent{firstOf(browsers, header), firstOf(systems, header)}
}

func firstOf(list []product, header string) string {
	for _, p := range list {
		if strings.Contains(header, p.says) {
			return p.name
		}
	}
	return ""
}
