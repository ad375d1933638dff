package cloud_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/internal/demo/cloud"
)

const (
	entityID  = "https://idp.example/saml/metadata"
	acs       = "https://signin.aws.amazon.com/saml"
	account   = "111122223333"
	sandbox   = "444455556666"
	switched  = "777788889999" // STS is switched off here
	devARN    = "arn:aws:iam::111122223333:role/Dev"
	opsARN    = "arn:aws:iam::111122223333:role/team/Ops"
	boxARN    = "arn:aws:iam::444455556666:role/Box"
	provider  = "arn:aws:iam::111122223333:saml-provider/Gatehouse"
	boxSAML   = "arn:aws:iam::444455556666:saml-provider/Gatehouse"
	attribute = "https://aws.amazon.com/SAML/Attributes/"
)

var now = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

// issuer is an identity provider that says whatever a test wants.
type issuer struct {
	key  *rsa.PrivateKey
	cert []byte
}

var keys = sync.OnceValue(func() []issuer {
	made := make([]issuer, 2)
	for i := range made {
		made[i] = newIssuer(2048)
	}
	return made
})

func newIssuer(bits int) issuer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	// Out of date on purpose: IAM takes no action on a certificate's dates.
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(-1, 0, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return issuer{key, cert}
}

func good() issuer  { return keys()[0] }
func other() issuer { return keys()[1] }

func metadataOf(entity string, certs ...[]byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0"?><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="%s"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`, entity)
	for _, c := range certs {
		fmt.Fprintf(&b, `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`,
			base64.StdEncoding.EncodeToString(c))
	}
	b.WriteString(`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/saml/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>`)
	b.WriteString(strings.Repeat(" ", 1000)) // IAM wants a thousand characters
	return []byte(b.String())
}

// what is one SAML response to be made.
type what struct {
	attributes [][2]string // name without the prefix, value; one Attribute each
	signer     issuer
	response   bool // sign the Response
	bare       bool // do not sign the assertion
	method     string
	hash       crypto.Hash
	before     func(response, assertion *etree.Element) // before anything is signed
	after      func(response *etree.Element)            // after
}

func usual() what {
	return what{signer: good(), attributes: [][2]string{
		{"Role", devARN + "," + provider}, {"RoleSessionName", "alice"},
	}}
}

const skeleton = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" IssueInstant="%[1]s" Destination="%[4]s"><saml:Issuer>%[3]s</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion ID="_a1" Version="2.0" IssueInstant="%[1]s"><saml:Issuer>%[3]s</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">_opaque</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="%[2]s" Recipient="%[4]s"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="%[1]s" NotOnOrAfter="%[2]s"><saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="%[1]s" SessionIndex="_s"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement/></saml:Assertion></samlp:Response>`

// xml is the response as XML.
func (w what) xml(t testing.TB) []byte {
	t.Helper()
	doc := etree.NewDocument()
	err := doc.ReadFromString(fmt.Sprintf(skeleton, stamp(now), stamp(now.Add(5*time.Minute)), entityID, acs))
	if err != nil {
		t.Fatal(err)
	}
	root := doc.Root()
	a := root.FindElement("./Assertion")
	for _, kv := range w.attributes {
		el := a.FindElement("./AttributeStatement").CreateElement("saml:Attribute")
		el.CreateAttr("Name", attribute+kv[0])
		el.CreateElement("saml:AttributeValue").SetText(kv[1])
	}
	if w.before != nil {
		w.before(root, a)
	}
	if !w.bare {
		w.sign(t, a)
	}
	if w.response {
		w.sign(t, root)
	}
	if w.after != nil {
		w.after(root)
	}
	raw, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (w what) encoded(t testing.TB) string { return base64.StdEncoding.EncodeToString(w.xml(t)) }

// sign puts an enveloped signature behind el's Issuer.
func (w what) sign(t testing.TB, el *etree.Element) {
	t.Helper()
	ctx, err := dsig.NewSigningContext(w.signer.key, [][]byte{w.signer.cert})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if w.hash != 0 {
		ctx.Hash = w.hash
	}
	if w.method != "" {
		if err := ctx.SetSignatureMethod(w.method); err != nil {
			t.Fatal(err)
		}
	}
	// The namespaces of the parent are in scope when the bytes are digested.
	alone := el.Copy()
	for _, ns := range []string{"saml", "samlp"} {
		if alone.SelectAttr("xmlns:"+ns) == nil {
			alone.CreateAttr("xmlns:"+ns, map[string]string{
				"saml":  "urn:oasis:names:tc:SAML:2.0:assertion",
				"samlp": "urn:oasis:names:tc:SAML:2.0:protocol"}[ns])
		}
	}
	sig, err := ctx.ConstructSignature(alone, true)
	if err != nil {
		t.Fatal(err)
	}
	el.InsertChildAt(1, sig)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// start is an emulator with the test's accounts, at the test's hour.
func start(t testing.TB, change ...func(*cloud.Config)) *cloud.Server {
	t.Helper()
	trust := cloud.Trust{Providers: []string{"Gatehouse"}, Audiences: []string{acs}, SubType: "persistent",
		TagSession: true, SetSourceIdentity: true, Principals: []string{account}}
	narrow := trust
	narrow.TagSession, narrow.SetSourceIdentity = false, false
	cfg := cloud.Config{
		Now: func() time.Time { return now },
		Accounts: []cloud.Account{
			{ID: account, Name: "payments", Providers: []string{"Gatehouse", "Empty"}, Roles: []cloud.Role{
				{Name: "Dev", Trust: trust},
				{Name: "Ops", Path: "/team/", MaxSession: 12 * time.Hour, Trust: trust},
				{Name: "Narrow", Trust: narrow},
				{Name: "Elsewhere", Trust: cloud.Trust{Providers: []string{"Other"}}},
				{Name: "Alone"},
				{Name: "Anywhere", Trust: cloud.Trust{Providers: []string{"Gatehouse"}}}, // no condition on SAML:aud
				{Name: "AWSReservedSSO_Admin_0123456789abcdef", Trust: trust},
			}},
			{ID: sandbox, Name: "sandbox", Providers: []string{"Gatehouse"}, Roles: []cloud.Role{{Name: "Box", Trust: trust}}},
			{ID: switched, Name: "dark", STSOff: true, Providers: []string{"Gatehouse"}, Roles: []cloud.Role{{Name: "Dev", Trust: trust}}},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := cloud.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, id := range []string{account, sandbox, switched} {
		if err := s.PutProvider(id, "Gatehouse", metadataOf(entityID, good().cert)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// at moves an assertion to another hour.
func at(t time.Time) func(_, _ *etree.Element) {
	return func(r, a *etree.Element) {
		from := stamp(t.Truncate(time.Second))
		until := stamp(t.Add(5 * time.Minute))
		r.CreateAttr("IssueInstant", from)
		a.CreateAttr("IssueInstant", from)
		a.FindElement("./Conditions").CreateAttr("NotBefore", from)
		a.FindElement("./Conditions").CreateAttr("NotOnOrAfter", until)
		a.FindElement(".//SubjectConfirmationData").CreateAttr("NotOnOrAfter", until)
	}
}
