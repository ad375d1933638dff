package cloud_test

import (
	"crypto"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/internal/demo/cloud"
)

const discovery = " (Service: AWSOpenIdDiscoveryService; Status Code: 400; Error Code: %; Request ID: UUID; Proxy: null)"

func suffixed(text, code string) string { return text + strings.ReplaceAll(discovery, "%", code) }

// with is the usual response with other or further attributes.
func with(kv ...string) what {
	w := usual()
	for i := 0; i < len(kv); i += 2 {
		replaced := false
		for j := range w.attributes {
			if w.attributes[j][0] == kv[i] && kv[i] != "TransitiveTagKeys" {
				w.attributes[j][1], replaced = kv[i+1], true
			}
		}
		if !replaced {
			w.attributes = append(w.attributes, [2]string{kv[i], kv[i+1]})
		}
	}
	return w
}

// without is the usual response without an attribute.
func without(name string) what {
	w := usual()
	for i := range w.attributes {
		if w.attributes[i][0] == name {
			w.attributes = append(w.attributes[:i:i], w.attributes[i+1:]...)
			break
		}
	}
	return w
}

// edited is the usual response with something changed before it is signed.
func edited(f func(r, a *etree.Element)) what {
	w := usual()
	w.before = f
	return w
}

func set(path, name, value string) what {
	return edited(func(r, _ *etree.Element) { r.FindElement(path).CreateAttr(name, value) })
}

func removed(path string) what {
	return edited(func(r, _ *etree.Element) {
		el := r.FindElement(path)
		el.Parent().RemoveChild(el)
	})
}

type row struct {
	name    string
	w       what
	raw     string // sent in place of w
	form    map[string]string
	status  int
	code    string
	message string
}

const (
	notAuthorized = "Not authorized to perform sts:AssumeRoleWithSAML"
	wantsData     = "Responses must contain SubjectConfirmatonData with a Recipient and NotOnOrAfter"
	wantsName     = "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"
	wantsIdentity = `Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`
	noPair        = "SAML Assertion doesn't contain the requested Role and Metadata in the attributes"
	expired       = "Response has expired"
	badSignature  = "Response signature invalid"
	noAudience    = "Response does not contain the required audience."
	tooMuch       = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
	free          = "*"
)

var (
	badBase64 = suffixed("Invalid base64 SAMLResponse", "AuthSamlInvalidSamlResponseException")
	badIssuer = suffixed("Issuer not present in specified provider", "AuthSamlInvalidSamlResponseException")
	noDoc     = suffixed("Specified provider doesn't exist", "AuthSamlManifestNotFoundException")
)

func invalid(name string, w what, message string) row {
	return row{name: name, w: w, status: 400, code: "InvalidIdentityToken", message: message}
}

func denied(name string, w what, form map[string]string) row {
	return row{name: name, w: w, form: form, status: 403, code: "AccessDenied", message: notAuthorized}
}

func constraint(value, field, rule string) string {
	return "1 validation error detected: Value " + value + "at '" + field + "' failed to satisfy constraint: " + rule
}

// paired asks for another role, with the assertion holding exactly that pair.
func paired(name, role, prov string, kv ...string) row {
	return denied(name, with(append([]string{"Role", role + "," + prov}, kv...)...), map[string]string{"RoleArn": role, "PrincipalArn": prov})
}

func rows1to4() []row {
	u := usual()
	v := func(name string, form map[string]string, message string) row {
		return row{name: name, w: u, form: form, status: 400, code: "ValidationError", message: message}
	}
	return []row{
		v("row 1: a role is required", map[string]string{"RoleArn": "-"}, constraint("null ", "roleArn", "Member must not be null")),
		v("row 1: everything missing is said at once", map[string]string{"RoleArn": "-", "PrincipalArn": "-"}, "2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; Value null at 'principalArn' failed to satisfy constraint: Member must not be null"),
		v("row 1: a role ARN has 20 characters", map[string]string{"RoleArn": "arn:aws:iam"}, constraint("'arn:aws:iam' ", "roleArn", "Member must have length greater than or equal to 20")),
		v("row 1: a provider ARN has at most 2048 characters", map[string]string{"PrincipalArn": strings.Repeat("a", 2049)}, constraint("'"+strings.Repeat("a", 2049)+"' ", "principalArn", "Member must have length less than or equal to 2048")),
		v("row 1: an assertion of 100,001 characters is too long and is not echoed", map[string]string{"SAMLAssertion": strings.Repeat("A", 100_001)}, constraint("", "sAMLAssertion", "Member must have length less than or equal to 100000")),
		v("row 1: an assertion is required", map[string]string{"SAMLAssertion": "-"}, constraint("null ", "sAMLAssertion", "Member must not be null")),
		v("row 1: 899 seconds are too few", map[string]string{"DurationSeconds": "899"}, constraint("'899' ", "durationSeconds", "Member must have value greater than or equal to 900")),
		v("row 1: 43201 seconds are too many", map[string]string{"DurationSeconds": "43201"}, constraint("'43201' ", "durationSeconds", "Member must have value less than or equal to 43200")),
		v("row 1: a duration is a number", map[string]string{"DurationSeconds": "1h"}, free),
		v("row 1: eleven policies are too many", manyPolicies(11), free),
		v("row 2: a user is no role", map[string]string{"RoleArn": "arn:aws:iam::111122223333:user/Dev"}, "Request ARN is invalid"),
		v("row 2: an OIDC provider is no SAML provider", map[string]string{"PrincipalArn": "arn:aws:iam::111122223333:oidc-provider/x.example"}, "Request ARN is invalid"),
		v("row 2: an unknown partition", map[string]string{"RoleArn": "arn:aws-mars:iam::111122223333:role/Dev"}, "Request ARN is invalid"),
		{name: "row 3: STS is off in the role's account, whatever else is wrong", raw: "AAAA", form: map[string]string{"RoleArn": "arn:aws:iam::777788889999:role/Dev"}, status: 403, code: "RegionDisabledException",
			message: "STS is not activated in this region for account:777788889999. Your account administrator can activate STS in this region using the IAM Console."},
		{name: "row 4: a provider of another name, before the assertion is looked at", raw: "AAAA", form: map[string]string{"PrincipalArn": "arn:aws:iam::111122223333:saml-provider/gatehouse"}, status: 400, code: "InvalidIdentityToken", message: noDoc},
		{name: "row 4: a provider in an account that does not exist", w: u, form: map[string]string{"PrincipalArn": "arn:aws:iam::000000000000:saml-provider/Gatehouse"}, status: 400, code: "InvalidIdentityToken", message: noDoc},
		{name: "row 4: a provider in another partition", w: u, form: map[string]string{"PrincipalArn": "arn:aws-cn:iam::111122223333:saml-provider/Gatehouse"}, status: 400, code: "InvalidIdentityToken", message: noDoc},
		{name: "row 4: a provider that never got a document", w: u, form: map[string]string{"PrincipalArn": "arn:aws:iam::111122223333:saml-provider/Empty"}, status: 400, code: "InvalidIdentityToken", message: noDoc},
	}
}

func manyPolicies(n int) map[string]string {
	form := map[string]string{}
	for i := range n {
		form["PolicyArns.member."+strconv.Itoa(i+1)+".arn"] = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	}
	return form
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func rows5to8(t *testing.T) []row {
	u := usual()
	text := string(u.xml(t))
	r5 := func(name, raw string) row {
		return row{name: name, raw: raw, status: 400, code: "InvalidIdentityToken", message: badBase64}
	}
	padded := b64(text + strings.Repeat(" ", (3-len(text)%3)%3+1)) // ends in padding
	return []row{
		r5("row 5: not base64", "!!!!"),
		r5("row 5: a line end within the base64", b64(text)[:76]+"\r\n"+b64(text)[76:]),
		r5("row 5: a plus that a form turned into a space", " "+b64(text)[1:]),
		r5("row 5: padding bits that are not zero", strings.TrimRight(padded, "=")[:len(strings.TrimRight(padded, "="))-1]+"B=="),
		r5("row 5: not XML", b64("hello, world")),
		r5("row 5: an assertion without a Response", b64(text[strings.Index(text, "<saml:Assertion"):strings.Index(text, "</samlp:Response>")])),
		r5("row 5: a document type", b64(`<!DOCTYPE r [<!ENTITY e "x">]>`+text)),
		r5("row 5: two root elements", b64(text+text)),
		r5("row 5: text behind the root element", b64(text+"x")),
		r5("row 5: a processing instruction", b64(strings.Replace(text, "<samlp:Status>", "<?x y?><samlp:Status>", 1))),
		r5("row 5: an attribute given twice", b64(strings.Replace(text, `ID="_r1"`, `ID="_r1" ID="_r2"`, 1))),
		r5("row 5: a prefix without a declaration", b64(strings.Replace(text, "<samlp:Status>", "<nope:x/><samlp:Status>", 1))),
		r5("row 5: another encoding", b64(`<?xml version="1.0" encoding="UTF-16"?>`+text)),
		r5("row 5: a Response of SAML 1.1", set(".", "Version", "1.1").encoded(t)),
		r5("row 5: an assertion without a version", set("./Assertion", "Version", "").encoded(t)),
		r5("row 5: a thousand elements deep", b64(strings.Repeat("<a>", 1000)+strings.Repeat("</a>", 1000))),
		{name: "row 6: the identity provider said no, before its issuer counts", w: edited(func(r, a *etree.Element) {
			r.FindElement("./Status/StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
			a.FindElement("./Issuer").SetText("https://other.example")
		}), status: 403, code: "IDPRejectedClaim", message: free},
		{name: "row 6: no status at all", w: removed("./Status"), status: 403, code: "IDPRejectedClaim", message: free},
		invalid("row 7: the assertion's issuer is another", edited(func(_, a *etree.Element) { a.FindElement("./Issuer").SetText("https://evil.example") }), badIssuer),
		invalid("row 7: the response's issuer is another", edited(func(r, _ *etree.Element) { r.FindElement("./Issuer").SetText("https://evil.example") }), badIssuer),
		invalid("row 7: an issuer is compared exactly", edited(func(_, a *etree.Element) { a.FindElement("./Issuer").SetText(entityID + "/") }), badIssuer),
		invalid("row 7: an assertion without an issuer", removed("./Assertion/Issuer"), badIssuer),
		invalid("row 8: no assertion", removedAfter("./Assertion"), free),
		invalid("row 8: two assertions", afterwards(func(r *etree.Element) {
			again := r.FindElement("./Assertion").Copy()
			again.CreateAttr("ID", "_a2")
			r.AddChild(again)
		}), free),
		invalid("row 8: an encrypted assertion, and no key for it", afterwards(func(r *etree.Element) {
			r.RemoveChild(r.FindElement("./Assertion"))
			r.CreateElement("saml:EncryptedAssertion")
		}), "Assertion could not be decrypted: the provider has no private key"),
	}
}

func afterwards(f func(r *etree.Element)) what {
	w := usual()
	w.after = f
	return w
}

func removedAfter(path string) what {
	return afterwards(func(r *etree.Element) { r.RemoveChild(r.FindElement(path)) })
}

func rows10to14() []row {
	expiredAt := func(name string, w what) row {
		return row{name: name, w: w, status: 400, code: "ExpiredTokenException", message: expired}
	}
	const data = ".//SubjectConfirmationData"
	return []row{
		invalid("row 10: no recipient", edited(func(r, _ *etree.Element) { r.FindElement(data).RemoveAttr("Recipient") }), wantsData),
		invalid("row 10: no end", edited(func(r, _ *etree.Element) { r.FindElement(data).RemoveAttr("NotOnOrAfter") }), wantsData),
		invalid("row 10: no subject", removed(".//Subject"), wantsData),
		invalid("row 10: no confirmation data", removed(data), wantsData),
		invalid("row 10: a holder of key is no bearer", set(".//SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"), wantsData),
		invalid("row 10: two confirmations", edited(func(_, a *etree.Element) {
			a.FindElement("./Subject").AddChild(a.FindElement("./Subject/SubjectConfirmation").Copy())
		}), wantsData),
		invalid("row 10: an end that is no time", set(data, "NotOnOrAfter", "tomorrow"), wantsData),
		expiredAt("row 11: the confirmation ends at this very second", set(data, "NotOnOrAfter", stamp(now))),
		expiredAt("row 11: the conditions have ended", set(".//Conditions", "NotOnOrAfter", stamp(now.Add(-time.Second)))),
		expiredAt("row 11: the session at the identity provider has ended", set(".//AuthnStatement", "SessionNotOnOrAfter", stamp(now))),
		expiredAt("row 11 comes before row 12", edited(at(now.Add(-time.Hour)))),
		{name: "row 12: older than five minutes, whatever its end", w: edited(func(_, a *etree.Element) {
			a.CreateAttr("IssueInstant", stamp(now.Add(-5*time.Minute-time.Second)))
		}), status: 400, code: "ExpiredTokenException", message: "Token must be redeemed within 5 minutes of issuance"},
		invalid("row 13: not before later", set(".//Conditions", "NotBefore", stamp(now.Add(2*time.Second))), free),
		invalid("row 13: issued in the future", set("./Assertion", "IssueInstant", stamp(now.Add(time.Minute))), free),
		invalid("row 13: a time in a zone", set("./Assertion", "IssueInstant", "2026-11-21T07:00:00+01:00"), free),
		invalid("row 14: for somebody else", edited(func(r, _ *etree.Element) { r.FindElement(".//Audience").SetText("https://wiki.example") }), noAudience),
		invalid("row 14: for another partition", edited(func(r, _ *etree.Element) { r.FindElement(".//Audience").SetText("urn:amazon:webservices:govcloud") }), noAudience),
		invalid("row 14: for nobody in particular", removed(".//AudienceRestriction"), noAudience),
		invalid("row 14: every restriction counts", edited(func(r, _ *etree.Element) {
			more := r.FindElement(".//Conditions").CreateElement("saml:AudienceRestriction")
			more.CreateElement("saml:Audience").SetText("https://wiki.example")
		}), noAudience),
	}
}

func rows15to19() []row {
	long := strings.Repeat("a", 65)
	bad := func(name string, kv ...string) row { return invalid("row 19: "+name, with(kv...), free) }
	fifty := []string{}
	for i := range 51 {
		fifty = append(fifty, "PrincipalTag:k"+strconv.Itoa(i), "v")
	}
	return []row{
		invalid("row 15: another role than the one asked for", with("Role", opsARN+","+provider), noPair),
		invalid("row 15: another provider", with("Role", devARN+","+boxSAML), noPair),
		invalid("row 15: the role's case differs", with("Role", strings.Replace(devARN, "Dev", "dev", 1)+","+provider), noPair),
		invalid("row 15: an attribute name in another case", with("role", devARN+","+provider, "Role", "x"), noPair),
		invalid("row 15: no Role attribute", without("Role"), noPair),
		invalid("row 15: three parts", with("Role", devARN+","+provider+","+provider), noPair),
		invalid("row 16: no session name", without("RoleSessionName"), "RoleSessionName is required in AuthnResponse"),
		invalid("row 16: two session names", twice("RoleSessionName", "bob"), "RoleSessionName is required in AuthnResponse"),
		invalid("row 17: a session name of one character", with("RoleSessionName", "a"), wantsName),
		invalid("row 17: a session name of 65 characters", with("RoleSessionName", long), wantsName),
		invalid("row 17: a session name with a space", with("RoleSessionName", "alice b"), wantsName),
		invalid("row 17: a session name beyond ASCII", with("RoleSessionName", "josé"), wantsName),
		invalid("row 17: a session name with a line end", with("RoleSessionName", "alice\n"), wantsName),
		invalid("row 18: a source identity with a slash", with("SourceIdentity", "a/b"), wantsIdentity),
		invalid("row 18: a source identity of AWS's", with("SourceIdentity", "aws:alice"), wantsIdentity),
		invalid("row 18: two source identities", twice("SourceIdentity", "bob", "SourceIdentity", "al"), wantsIdentity),
		bad("51 tags", fifty...),
		bad("a key of 129 characters", "PrincipalTag:"+strings.Repeat("k", 129), "v"),
		bad("a value of 257 characters", "PrincipalTag:k", strings.Repeat("v", 257)),
		bad("a value with a semicolon", "PrincipalTag:k", "a;b"),
		bad("a key of AWS's", "PrincipalTag:aws:k", "v"),
		bad("an empty key", "PrincipalTag:", "v"),
		bad("keys that differ only in case", "PrincipalTag:Team", "a", "PrincipalTag:team", "b"),
		bad("a transitive key that is no tag's", "PrincipalTag:team", "a", "TransitiveTagKeys", "cost"),
		invalid("row 19: a tag with two values", twice("PrincipalTag:k", "b", "PrincipalTag:k", "a"), free),
		bad("a session duration that is too short", "SessionDuration", "899"),
		bad("a session duration that is no number", "SessionDuration", "1h"),
		bad("an attribute value with elements in it", "RoleSessionName", "alice"),
	}
}

// twice adds an attribute that is there already, or is in kv.
func twice(name, value string, kv ...string) what {
	w := with(kv...)
	w.attributes = append(w.attributes, [2]string{name, value})
	return w
}

func rows20to24() []row {
	noID := func(name string) row { return denied(name, removed(".//NameID"), nil) }
	policy := func(name, text string) row {
		return row{name: name, w: usual(), form: map[string]string{"Policy": text}, status: 400, code: "MalformedPolicyDocument", message: free}
	}
	narrow := "arn:aws:iam::111122223333:role/Narrow"
	return []row{
		noID("row 20: no NameID"),
		denied("row 20: an empty NameID", edited(func(r, _ *etree.Element) { r.FindElement(".//NameID").SetText("") }), nil),
		paired("row 21: no such role", "arn:aws:iam::111122223333:role/Nope", provider),
		paired("row 21: a role's case counts", "arn:aws:iam::111122223333:role/dev", provider),
		paired("row 21: a role's path counts", "arn:aws:iam::111122223333:role/Ops", provider),
		paired("row 21: a role in another account than the provider", boxARN, provider),
		paired("row 21: a role of IAM Identity Center", "arn:aws:iam::111122223333:role/AWSReservedSSO_Admin_0123456789abcdef", provider),
		paired("row 21: the trust policy names another provider", "arn:aws:iam::111122223333:role/Elsewhere", provider),
		paired("row 21: the trust policy names nobody", "arn:aws:iam::111122223333:role/Alone", provider),
		paired("row 21: tags where sts:TagSession is not allowed", narrow, provider, "PrincipalTag:k", "v"),
		paired("row 21: a source identity where sts:SetSourceIdentity is not allowed", narrow, provider, "SourceIdentity", "alice"),
		denied("row 21: SAML:aud is the Recipient, and another one", set(".//SubjectConfirmationData", "Recipient", "https://eu-west-1.signin.aws.amazon.com/saml"), nil),
		denied("row 21: SAML:sub_type differs", set(".//NameID", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"), nil),
		{name: "row 22: longer than the role allows is an error, not a shorter session", w: usual(), form: map[string]string{"DurationSeconds": "3601"}, status: 400, code: "ValidationError", message: tooMuch},
		policy("row 23: a policy that is not JSON", "{"),
		policy("row 23: a policy without a statement", `{"Version":"2012-10-17"}`),
		policy("row 23: a session policy names no principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`),
		policy("row 23: an effect that is neither", `{"Version":"2012-10-17","Statement":{"Effect":"Maybe","Action":"*","Resource":"*"}}`),
		{name: "row 24: tags that do not pack", w: with(noise(40)...), status: 400, code: "PackedPolicyTooLarge", message: free},
	}
}

// noise are tags that cannot be compressed much.
func noise(n int) []string {
	var kv []string
	seed := uint32(7)
	for i := range n {
		var b strings.Builder
		for range 128 {
			seed = seed*1664525 + 1013904223
			b.WriteByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"[seed>>26])
		}
		kv = append(kv, "PrincipalTag:k"+strconv.Itoa(i), b.String())
	}
	return kv
}

func TestRowsRefuseWithAWSsCodeAndText(t *testing.T) {
	s := start(t)
	all := rows1to4()
	all = append(all, rows5to8(t)...)
	all = append(all, rows9()...)
	all = append(all, rows10to14()...)
	all = append(all, rows15to19()...)
	all = append(all, rows20to24()...)
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "elements in it") {
				tt.w.before = func(_, a *etree.Element) { a.FindElement(".//AttributeValue").CreateElement("saml:x") }
			}
			raw := tt.raw
			if raw == "" {
				raw = tt.w.encoded(t)
			}
			form := url.Values{"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"},
				"RoleArn": {devARN}, "PrincipalArn": {provider}, "SAMLAssertion": {raw}}
			for k, v := range tt.form {
				if form.Set(k, v); v == "-" {
					form.Del(k)
				}
			}
			status, code, message := post(t, s, form)
			if status != tt.status || code != tt.code || tt.message != free && message != tt.message {
				t.Errorf("got  %d %s %q\nwant %d %s %q\nwhy: %s", status, code, message, tt.status, tt.code, tt.message, last(s).Why)
			}
		})
	}
}

func last(s *cloud.Server) cloud.Call {
	calls := s.Calls()
	return calls[len(calls)-1]
}

// rows9 are about signatures; the wrapping corpus is in signature_test.go.
func rows9() []row {
	by := func(f func(*what)) what {
		w := usual()
		f(&w)
		return w
	}
	r9 := func(name string, w what) row { return invalid("row 9: "+name, w, badSignature) }
	return []row{
		r9("nothing signed", by(func(w *what) { w.bare = true })),
		r9("signed by a key that is only in KeyInfo", by(func(w *what) { w.signer = other() })),
		r9("our certificate in KeyInfo, another's key", by(func(w *what) { w.signer = issuer{other().key, good().cert} })),
		r9("SHA-1 for the signature", by(func(w *what) { w.method = dsig.RSASHA1SignatureMethod })),
		r9("SHA-1 for the digest", by(func(w *what) { w.hash = crypto.SHA1 })),
		r9("a value changed after signing", by(func(w *what) {
			w.after = func(r *etree.Element) { r.FindElement(".//NameID").SetText("_somebody") }
		})),
		r9("a broken response signature beside a good assertion's", by(func(w *what) {
			w.response = true
			w.after = func(r *etree.Element) { r.CreateAttr("Destination", "https://evil.example") }
		})),
	}
}

func TestRow25ThrottleAnswersRateExceeded(t *testing.T) {
	s := start(t)
	s.Fault(cloud.Fault{Door: cloud.DoorSTS, Kind: cloud.FaultThrottle, Times: 2})
	form := url.Values{"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"}, "RoleArn": {devARN}, "PrincipalArn": {provider}, "SAMLAssertion": {usual().encoded(t)}}
	for range 2 {
		if status, code, message := post(t, s, form); status != 400 || code != "Throttling" || message != "Rate exceeded" {
			t.Fatalf("got %d %s %q, want 400 Throttling Rate exceeded", status, code, message)
		}
	}
	if status, code, _ := post(t, s, form); status != 200 {
		t.Errorf("third call: %d %s, want 200", status, code)
	}
}
