package saml

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse"
)

func TestRespondRefusesWhatIsIncompleteOrImpossible(t *testing.T) {
	p := newTestIdP(t)
	for _, tt := range []struct {
		name  string
		alter func(*Assertion)
	}{
		{"no recipient", func(a *Assertion) { a.Recipient = "" }},
		{"no audience", func(a *Assertion) { a.Audience = "" }},
		{"no name", func(a *Assertion) { a.NameID.Value = "" }},
		{"no time of sign-in", func(a *Assertion) { a.AuthnInstant = time.Time{} }},
		{"a lifetime that is over", func(a *Assertion) { a.Lifetime = -time.Second }},
		{"a request ID that is none", func(a *Assertion) { a.InResponseTo = `x" y="` }},
		{"an unknown way to sign", func(a *Assertion) { a.Sign = "none" }},
		{"attributes of two kinds", func(a *Assertion) { a.Attributes = []Attribute{{Name: "mail"}} }},
		{"an attribute without a name", func(a *Assertion) { a.AWS, a.Attributes = nil, []Attribute{{}} }},
		{"an attribute twice", func(a *Assertion) { a.AWS, a.Attributes = nil, []Attribute{{Name: "mail"}, {Name: "mail"}} }},
		{"a NUL in an attribute", func(a *Assertion) { a.AWS, a.Attributes = nil, []Attribute{{Name: "cn", Values: []string{"a\x00"}}} }},
		{"a control character in a recipient", func(a *Assertion) { a.Recipient += "\x1b" }},
		{"bytes that are not UTF-8 in a name", func(a *Assertion) { a.NameID.Value = "\xff" }},
		{"no role", func(a *Assertion) { a.AWS.Roles = nil }},
		{"half a role pair", func(a *Assertion) { a.AWS.Roles[0].ProviderARN = "" }},
		{"a session name of one letter", func(a *Assertion) { a.AWS.RoleSessionName = "a" }},
		{"a session name with a space", func(a *Assertion) { a.AWS.RoleSessionName = "al ice" }},
		{"a session name beyond ASCII", func(a *Assertion) { a.AWS.RoleSessionName = "aliçe" }},
		{"a session name that is too long", func(a *Assertion) { a.AWS.RoleSessionName = strings.Repeat("a", 65) }},
		{"a source identity of AWS's own", func(a *Assertion) { a.AWS.SourceIdentity = "aws:alice" }},
		{"a session under fifteen minutes", func(a *Assertion) { a.AWS.SessionDuration = 899 * time.Second }},
		{"a session over twelve hours", func(a *Assertion) { a.AWS.SessionDuration = 43201 * time.Second }},
		{"half a second of session", func(a *Assertion) { a.AWS.SessionDuration += time.Second / 2 }},
		{"fifty-one tags", func(a *Assertion) { a.AWS.Tags = make([]gatehouse.Tag, 51) }},
		{"a tag without a key", func(a *Assertion) { a.AWS.Tags[0].Key = "" }},
		{"a tag key that is too long", func(a *Assertion) { a.AWS.Tags[0].Key = strings.Repeat("ü", 129) }},
		{"a tag value that is too long", func(a *Assertion) { a.AWS.Tags[0].Value = strings.Repeat("ü", 257) }},
		{"a tag of AWS's own", func(a *Assertion) { a.AWS.Tags[0].Key = "AWS:team" }},
		{"a tag twice but for its case", func(a *Assertion) { a.AWS.Tags[1].Key = "Team" }},
		{"a transitive tag that is not there", func(a *Assertion) { a.AWS.TransitiveTagKeys = []string{"other"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := awsAssertion(1)
			tt.alter(&a)
			if r, err := p.Respond(t.Context(), a); err == nil || r != (Response{}) {
				t.Errorf("%+v, %v; want an error and nothing", r, err)
			}
		})
	}
}

func TestResponseLongerThanAWSTakesIsRefused(t *testing.T) {
	p := newTestIdP(t)
	_, err := p.Respond(t.Context(), awsAssertion(600))
	var invalid *gatehouse.Invalid
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Why, "100,000") {
		t.Errorf("600 roles: %v", err)
	}
	a := awsAssertion(0)
	a.AWS, a.Attributes = nil, []Attribute{{Name: "members", Values: []string{strings.Repeat("x", 100_000)}}}
	if _, err := p.Respond(t.Context(), a); err != nil {
		t.Errorf("another provider has no such limit: %v", err)
	}
}

// The assertion as it is hashed, without its signature, with everything that
// is random or secret fixed.
func TestAnAppendedResponseIsAllThatIsAppended(t *testing.T) {
	p := newTestIdP(t)
	for _, dst := range []gatehouse.Lent{nil, gatehouse.Lent("before"), append(make(gatehouse.Lent, 0, 64<<10), "before"...)} {
		text, r, err := p.AppendResponse(t.Context(), dst, awsAssertion(1))
		if err != nil {
			t.Fatal(err)
		}
		if r.Encoded != "" || r.ID == "" || r.Destination != testAWSACS || !r.IssuedAt.Equal(noon) {
			t.Errorf("besides the text: %+v", r)
		}
		rest, ok := bytes.CutPrefix(text, dst)
		document := decoded(t, Response{Encoded: gatehouse.Secret(rest)})
		if !ok || !bytes.Contains(document, []byte(`ID="`+r.ID+`"`)) || !bytes.HasSuffix(document, []byte("</samlp:Response>")) {
			t.Errorf("to %q was appended %q, of %+v", []byte(dst), document, r)
		}
	}
}

func TestARefusedResponseAppendsNothing(t *testing.T) {
	p := newTestIdP(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	incomplete := awsAssertion(1)
	incomplete.NameID.Value = ""
	control := awsAssertion(1)
	control.AWS.RoleSessionName = "a\x01"
	for name, ask := range map[string]struct {
		ctx context.Context
		a   Assertion
	}{
		"incomplete":         {t.Context(), incomplete},
		"XML cannot hold it": {t.Context(), control},
		"too long for AWS":   {t.Context(), awsAssertion(2000)},
		"nobody waits":       {gone, awsAssertion(1)},
	} {
		t.Run(name, func(t *testing.T) {
			dst := append(make(gatehouse.Lent, 0, 256<<10), "before"...)
			text, r, err := p.AppendResponse(ask.ctx, dst, ask.a)
			if err == nil || string(text) != "before" || r != (Response{}) {
				t.Errorf("%v, %d bytes, %+v", err, len(text), r)
			}
			if after := dst[len(dst):cap(dst)]; len(bytes.Trim(after, "\x00")) > 0 {
				t.Error("something was written behind what was there")
			}
		})
	}
}

// What one gets is never what another got, however their memory is shared.
func TestTextsOfResponsesAreTheirOwn(t *testing.T) {
	p := newTestIdP(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var responses []Response
			for range 8 {
				r, err := p.Respond(t.Context(), awsAssertion(1))
				if err != nil {
					t.Error(err)
					return
				}
				responses = append(responses, r)
			}
			for _, r := range responses {
				if raw, err := base64.StdEncoding.DecodeString(string(r.Encoded)); err != nil || !bytes.Contains(raw, []byte(`ID="`+r.ID+`"`)) {
					t.Errorf("%s has another's text: %v", r.ID, err)
				}
			}
		})
	}
	all.Wait()
}

func TestGoldenAssertion(t *testing.T) {
	m := message{Assertion: awsAssertion(2), issuer: testEntityID, assertionID: "_assertion", responseID: "_response", now: noon}
	m.InResponseTo = "_request"
	generic := m
	generic.AWS = nil
	generic.NameID = NameID{Format: NameIDEmail, Value: "bob@corp.example"}
	generic.Attributes = []Attribute{{Name: "urn:oid:0.9.2342.19200300.100.1.3", Values: []string{"bob@corp.example"}}, {Name: "groups", Format: "urn:x", Values: []string{"<Ops>", "R&D"}}, {Name: "none"}}
	for name, m := range map[string]message{"aws": m, "generic": generic} {
		if err := settle(&m.Assertion); err != nil {
			t.Fatal(err)
		}
		m.Sign = SignResponse // the assertion stays bare
		s := &scratch{}
		if err := s.assertion(&s.xml, &m, nil); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".xml", s.xml.buf)
	}
}

// golden compares got with a file. The file has a line for each tag, to be
// read in review; no value holds "><", so that nothing is lost.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got = []byte(strings.ReplaceAll(string(got), "><", ">\n<") + "\n")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s (%v): got\n%s\nwant\n%s", path, err, got, want)
	}
}

// Every byte counts, but those of the KeyInfo, which is no part of what is
// signed: whichever one is changed, the result is taken by nobody.
func TestAnyChangedByteIsNoticed(t *testing.T) {
	p := newTestIdP(t)
	a := awsAssertion(1)
	a.Sign = SignResponse
	r, err := p.Respond(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	document := decoded(t, r)
	from, to := bytes.Index(document, []byte("<ds:KeyInfo>")), bytes.Index(document, []byte("</ds:KeyInfo>"))
	if len(document) < 3000 || from < 0 || to < from || to-from > 2000 {
		t.Fatalf("%d bytes, KeyInfo from %d to %d", len(document), from, to)
	}
	for i := range document {
		if from <= i && i < to {
			continue
		}
		altered := bytes.Clone(document)
		altered[i] ^= 1
		if goxmldsig(altered, testKey(), "Response", t) == nil {
			t.Errorf("byte %d changed unnoticed: …%s…", i, altered[max(0, i-40):min(len(altered), i+40)])
		}
	}
}

func TestNamesAreStableOpaqueAndApart(t *testing.T) {
	p, again := newTestIdP(t), newTestIdP(t)
	name := p.NameID("corp/1", wikiID)
	if name != again.NameID("corp/1", wikiID) {
		t.Error("the same person has two names")
	}
	if strings.ToLower(name) != name || !isNCName(name) || len(name) > 256 || strings.Contains(name, "corp") {
		t.Errorf("%q is not opaque", name)
	}
	seen := map[string]bool{}
	for _, pair := range [][2]string{{"corp/1", wikiID}, {"corp/1", vaultID}, {"corp/2", wikiID}, {"corp/1h", wikiID[1:]}, {"corp/1" + wikiID, ""}, {"", "corp/1" + wikiID}} {
		if n := p.NameID(pair[0], pair[1]); seen[n] {
			t.Errorf("%q shares a name", pair)
		} else {
			seen[n] = true
		}
	}
}

func TestIdentifiersAreNamesAndNeverRepeat(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		a, b, c := newIDs()
		for _, id := range []string{a, b, c} {
			if !isNCName(id) || len(id) != 33 || seen[id] {
				t.Fatalf("%q", id)
			}
			seen[id] = true
		}
	}
}

// None of the bits of what is made in one go is fixed, or goes by another: each
// pair agrees about as often as coins do. With 4096 throws the deviation is
// 32; eight times that does not happen by chance.
func TestAllBitsOfIdentifiersAreRandom(t *testing.T) {
	const throws, far = 4096, 8 * 32
	var columns [1 + 3*128][throws / 64]uint64 // the first is all zeros
	for n := range throws {
		one, two, three := newIDs()
		for i, id := range []string{one, two, three} {
			raw, err := hex.DecodeString(id[1:])
			if err != nil || len(raw) != 16 {
				t.Fatalf("%q, %v", id, err)
			}
			for bit := range 128 {
				columns[1+i*128+bit][n/64] |= uint64(raw[bit/8]>>(bit%8)&1) << (n % 64)
			}
		}
	}
	for i := range columns {
		for j := range i {
			differ := 0
			for w := range columns[i] {
				differ += bits.OnesCount64(columns[i][w] ^ columns[j][w])
			}
			if differ < throws/2-far || differ > throws/2+far {
				t.Fatalf("bits %d and %d differ %d times in %d", i, j, differ, throws)
			}
		}
	}
}

func TestSubjectHasTheFormatThatTheProviderWants(t *testing.T) {
	p := newTestIdP(t)
	u := gatehouse.User{Directory: "corp", ID: "1", Mail: "alice@corp.example"}
	for format, want := range map[string]string{NameIDPersistent: p.NameID("corp/1", wikiID), NameIDEmail: "alice@corp.example"} {
		got, err := p.Subject(gatehouse.Session{User: u}, Provider{EntityID: wikiID, NameIDFormat: format, takesMail: true}, "")
		if err != nil || got != (NameID{Format: format, Value: want}) {
			t.Errorf("%+v, %v; want %s", got, err, want)
		}
	}
	transient := Provider{EntityID: wikiID, NameIDFormat: NameIDTransient}
	one, _ := p.Subject(gatehouse.Session{ID: "A", User: u}, transient, "")
	two, _ := p.Subject(gatehouse.Session{ID: "B", User: u}, transient, "")
	if one.Value == two.Value || one.Format != NameIDTransient {
		t.Errorf("transient %+v and %+v", one, two)
	}
	if again, _ := p.Subject(gatehouse.Session{ID: "A", User: u}, Provider{EntityID: wikiID, NameIDFormat: NameIDPersistent}, NameIDTransient); again != one {
		t.Errorf("in one session the transient name is %+v and %+v; a logout request would not find it", one, again)
	}
	if got, err := p.Subject(gatehouse.Session{User: u}, Provider{EntityID: wikiID}, NameIDEmail); err == nil {
		t.Errorf("a provider whose metadata does not list mail addresses got %+v", got)
	}
	u.Mail = ""
	if got, err := p.Subject(gatehouse.Session{User: u}, Provider{NameIDFormat: NameIDEmail, takesMail: true}, ""); !errors.Is(err, gatehouse.ErrInvalid) || got != (NameID{}) {
		t.Errorf("without mail: %+v, %v", got, err)
	}
}

func TestKeysArePublishedBeforeTheySign(t *testing.T) {
	p := newTestIdP(t)
	before := p.Metadata()
	next, old := mustKey(noon.Add(time.Hour)), testKey()
	next.State = gatehouse.KeyNext
	retired := mustKey(noon)
	retired.State = gatehouse.KeyRetired
	if err := p.SetKeys([]gatehouse.SigningKey{retired, next, old}); err != nil {
		t.Fatal(err)
	}
	var entity crewjam.EntityDescriptor
	if err := xml.Unmarshal(p.Metadata(), &entity); err != nil {
		t.Fatal(err)
	}
	if keys := entity.IDPSSODescriptors[0].KeyDescriptors; len(keys) != 2 || bytes.Equal(before, p.Metadata()) {
		t.Errorf("%d keys published, want the active and the next", len(keys))
	}
	r, err := p.Respond(t.Context(), awsAssertion(1))
	if err != nil || goxmldsig(decoded(t, r), old, "Assertion", t) != nil {
		t.Errorf("not signed by the active key: %v", err)
	}
	next.State, old.State = gatehouse.KeyActive, gatehouse.KeyRetired
	if err := p.SetKeys([]gatehouse.SigningKey{old, next}); err != nil {
		t.Fatal(err)
	}
	if r, err = p.Respond(t.Context(), awsAssertion(1)); err != nil || goxmldsig(decoded(t, r), next, "Assertion", t) != nil {
		t.Errorf("not signed by the promoted key: %v", err)
	}
}

func TestBadKeysChangeNothing(t *testing.T) {
	p := newTestIdP(t)
	before := p.Metadata()
	good, other := testKey(), mustKey(noon)
	mixed := good
	mixed.Certificate = other.Certificate
	unknown := good
	unknown.State = "odd"
	garbage := good
	garbage.PrivateKey = []byte("x")
	noCert := good
	noCert.Certificate = nil
	next := good
	next.State = gatehouse.KeyNext
	for name, keys := range map[string][]gatehouse.SigningKey{
		"none": nil, "none active": {next}, "two active": {good, other}, "a certificate of another key": {mixed},
		"an unknown state": {good, unknown}, "no key": {garbage}, "no certificate": {noCert},
	} {
		if err := p.SetKeys(keys); err == nil || !bytes.Equal(before, p.Metadata()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysChangeWhileSigning(t *testing.T) {
	p := newTestIdP(t)
	other := mustKey(noon)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				r, err := p.Respond(t.Context(), awsAssertion(3))
				if err != nil {
					t.Error(err)
					return
				}
				d := decoded(t, r)
				if goxmldsig(d, testKey(), "Assertion", t) != nil && goxmldsig(d, other, "Assertion", t) != nil {
					t.Error("neither key made the signature")
				}
			}
		})
	}
	for i := range 20 {
		k := []gatehouse.SigningKey{testKey(), other}[i%2]
		if err := p.SetKeys([]gatehouse.SigningKey{k}); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestWhoGivesUpDoesNotWaitToSign(t *testing.T) {
	p := newTestIdP(t)
	for range cap(p.slots) {
		p.slots <- struct{}{} // everybody else is signing
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if r, err := p.Respond(ctx, awsAssertion(1)); !errors.Is(err, context.DeadlineExceeded) || r != (Response{}) {
		t.Errorf("%+v, %v", r, err)
	}
	<-p.slots
	if _, err := p.Respond(t.Context(), awsAssertion(1)); err != nil {
		t.Errorf("a slot is free: %v", err)
	}
}

func TestNewSigningKeyIsOneThatAWSTakes(t *testing.T) {
	k := testKey()
	cert := testCertificate(t, k)
	if got := cert.NotAfter.Sub(noon); got < 9*365*24*time.Hour || cert.NotBefore.After(noon) {
		t.Errorf("good from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if cert.SignatureAlgorithm.String() != "SHA256-RSA" || privateKey(t, k).N.BitLen() != 2048 || k.State != gatehouse.KeyActive || k.ID == "" {
		t.Errorf("%v, %d bits, %s %s", cert.SignatureAlgorithm, privateKey(t, k).N.BitLen(), k.State, k.ID)
	}
	seen := map[string]bool{}
	for _, e := range cert.Extensions { // IAM refuses metadata with repeated ones
		if seen[e.Id.String()] {
			t.Errorf("extension %s twice", e.Id)
		}
		seen[e.Id.String()] = true
	}
	if _, err := NewSigningKey(noon, "https://"+strings.Repeat("long.", 100)); err != nil {
		t.Errorf("a long entity ID: %v", err)
	}
}

func TestMetadataIsValidStableAndLongEnough(t *testing.T) {
	p := newTestIdP(t)
	p.cfg.Organization = Organization{Name: "Corp & Sons", DisplayName: "Corp", URL: "https://corp.example"}
	p.cfg.Contact = Contact{Name: "IT", Email: "it@corp.example"}
	if err := p.SetKeys([]gatehouse.SigningKey{testKey()}); err != nil {
		t.Fatal(err)
	}
	document := p.Metadata()
	if got := canonicalized(t, document); got != string(document) {
		t.Errorf("not canonical: %s", document)
	}
	if len(document) < 1000 || bytes.Contains(document, []byte("validUntil")) || document[0] != '<' {
		t.Errorf("IAM will not take it: %d bytes: %s", len(document), document)
	}
	var entity crewjam.EntityDescriptor
	if err := xml.Unmarshal(document, &entity); err != nil || entity.EntityID != testEntityID || entity.Organization.OrganizationNames[0].Value != "Corp & Sons" {
		t.Errorf("%v: %+v", err, entity)
	}
	if again := newTestIdP(t); !bytes.Equal(again.Metadata(), newTestIdP(t).Metadata()) {
		t.Error("two replicas publish different bytes")
	}
	if err := validAgainst(t, document, "saml-schema-metadata-2.0.xsd"); err != nil {
		t.Error(err)
	}
	if validAgainst(t, bytes.Replace(document, []byte("entityID"), []byte("entityId"), 1), "saml-schema-metadata-2.0.xsd") == nil {
		t.Error("the judge takes anything")
	}
}

func TestRefusalsStandBeforeTheJudges(t *testing.T) {
	p := idpWithProviders(t)
	req := Request{ID: "_req1", Provider: wikiID, ACS: wikiACS}
	r, err := p.Refuse(t.Context(), req, Status{Code: StatusResponder, Detail: StatusNoPassive})
	if err != nil {
		t.Fatal(err)
	}
	document := decoded(t, r)
	if !bytes.Contains(document, []byte(StatusNoPassive)) || bytes.Contains(document, []byte("Assertion ")) || r.Destination != wikiACS {
		t.Errorf("%s", document)
	}
	if err := xmlsec1(t, document, testKey().Certificate, "Response"); err != nil {
		t.Error(err)
	}
	if err := validAgainst(t, document, "saml-schema-protocol-2.0.xsd"); err != nil {
		t.Error(err)
	}
	req.ACS = "https://evil.example"
	if r, err := p.Refuse(t.Context(), req, Status{Code: StatusResponder}); err == nil {
		t.Errorf("%+v went elsewhere", r)
	}
}

func TestCheckSpeaksBeforeADateRunsOut(t *testing.T) {
	at := noon
	soon := strings.Replace(wikiMetadata(), "entityID=", `validUntil="2027-03-01T00:00:00Z" entityID=`, 1)
	p := newIdPAt(t, func() time.Time { return at }, providerFile(t, "Wiki", soon))
	for _, tt := range []struct {
		name          string
		at            time.Time
		key, provider gatehouse.FindingState
	}{
		{"all is well", noon, gatehouse.FindingOK, gatehouse.FindingOK},
		{"metadata runs out this quarter", noon.AddDate(0, 1, 0), gatehouse.FindingOK, gatehouse.FindingWarning},
		{"metadata has run out", noon.AddDate(1, 0, 0), gatehouse.FindingOK, gatehouse.FindingFailure},
		{"the certificate runs out", noon.AddDate(9, 11, 0), gatehouse.FindingWarning, gatehouse.FindingFailure},
		{"the clock is wrong", noon.AddDate(-1, 0, 0), gatehouse.FindingFailure, gatehouse.FindingOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at = tt.at
			got := p.Check(t.Context())
			if len(got) != 2 || got[0].State != tt.key || got[1].State != tt.provider {
				t.Errorf("%+v", got)
			}
			for _, f := range got {
				if (f.State == gatehouse.FindingOK) != (f.Fix == "") {
					t.Errorf("%s: fix %q", f.State, f.Fix)
				}
			}
		})
	}
}
