package cloud

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// packedLimit is what session policies, their ARNs and session tags may take
// together after packing. AWS packs in a format of its own and says only a
// percentage; ours is deflate against 2048 bytes.
const packedLimit = 2048

var (
	policyText = lazily(`^[\x09\x0A\x0D\x20-\xFF]+$`)
	policyARN  = lazily(`^arn:[a-z-]+:iam::(\d{12}|aws):policy/[\x21-\x7e]+$`)
)

// sessionPolicies narrow a session further than its role does.
type sessionPolicies struct {
	inline string
	arns   []string
}

// policies reads Policy and PolicyArns.member.N.arn.
func (c *complaints) policies(p params) sessionPolicies {
	s := sessionPolicies{inline: p["Policy"], arns: p.list("PolicyArns", ".arn")}
	c.length(p, "Policy", false, false, 1, 2048)
	if s.inline != "" && !policyText.MatchString(s.inline) {
		c.add("", "policy", `Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`)
	}
	if len(s.arns) > 10 {
		c.add("", "policyArns", "Member must have length less than or equal to 10")
	}
	for i, a := range s.arns {
		if n := utf8.RuneCountInString(a); n < 20 || n > 2048 {
			c.add(quoted(a), fmt.Sprintf("policyArns.%d.member.arn", i+1), "Member must have length between 20 and 2048")
		}
	}
	return s
}

// check is rows 23 and 24. It returns the percentage used, 0 where nothing
// was packed.
func (s sessionPolicies) check(tags []Tag) (int, *refusal) {
	if s.inline != "" && !validPolicy(s.inline) {
		return 0, refuse(http.StatusBadRequest, "MalformedPolicyDocument", "Syntax errors in policy.")
	}
	for _, a := range s.arns {
		if !policyARN.MatchString(a) {
			return 0, validationError("ARN %s is not valid.", a)
		}
	}
	percent := s.packed(tags)
	if percent > 100 {
		return 0, refuse(http.StatusBadRequest, "PackedPolicyTooLarge",
			fmt.Sprintf("Packed policy consumes %d%% of allotted space, please use smaller policy.", percent))
	}
	return percent, nil
}

func (s sessionPolicies) packed(tags []Tag) int {
	plain := s.inline + strings.Join(s.arns, "")
	over := utf8.RuneCountInString(plain) > 2048 // the limit on the plain text of both
	for _, t := range tags {
		plain += t.Key + "\x00" + t.Value + "\x00"
	}
	if plain == "" {
		return 0
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(plain))
	_ = w.Close()
	percent := (b.Len()*100 + packedLimit - 1) / packedLimit
	if over {
		percent = max(percent, 101)
	}
	return percent
}

// validPolicy looks at a session policy's grammar (IAM User Guide, "Grammar
// of the IAM JSON policy language"): a session policy names no principal.
func validPolicy(text string) bool {
	var p struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil || d.More() {
		return false
	}
	if p.Version != "" && p.Version != "2012-10-17" && p.Version != "2008-10-17" {
		return false
	}
	var statements []map[string]json.RawMessage
	if json.Unmarshal(p.Statement, &statements) != nil {
		var one map[string]json.RawMessage
		if json.Unmarshal(p.Statement, &one) != nil {
			return false
		}
		statements = append(statements, one)
	}
	return len(statements) > 0 && !slices.ContainsFunc(statements, invalidStatement)
}

func invalidStatement(s map[string]json.RawMessage) bool {
	var effect string
	if json.Unmarshal(s["Effect"], &effect) != nil || effect != "Allow" && effect != "Deny" {
		return true
	}
	for key := range s {
		if !slices.Contains([]string{"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}, key) {
			return true
		}
	}
	return (s["Action"] == nil) == (s["NotAction"] == nil) || (s["Resource"] == nil) == (s["NotResource"] == nil)
}
