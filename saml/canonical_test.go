package saml

import (
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// hostile are values that break writers which join strings.
var hostile = []string{
	"", "plain", `"quoted" and 'quoted'`, "<saml:Evil/>", "a&b;&amp;&#0;", "]]>", "<![CDATA[x]]>", "<!-- c -->",
	"line\nfeed", "carriage\rreturn", "both\r\n", "tab\tstop", "  spaces  ", "\n", "\r", "\t",
	"Größe, Čeština, 日本語", "😀 beyond the BMP 𝄞", "\u2028\u2029\u0085\u00a0", "\ufdd0\ufffd", "a\u0301",
	strings.Repeat("<&>\"\r", 500),
}

// sample writes a document with value in every kind of place.
func sample(value string) *canonical {
	w := &canonical{}
	w.open(samlpResponse, attribute{name: "Version", value: value}, attribute{name: "ID", value: "x", tail: value}, attribute{name: "Destination", value: "d"})
	w.leaf(samlIssuer, value)
	w.open(samlAssertion, attribute{name: "ID", value: value})
	w.open(dsSignature)
	w.leaf(dsDigestValue, value)
	w.close()
	w.leaf(samlNameID, "", attribute{name: "Format", value: value})
	w.close()
	w.close()
	return w
}

func TestWriterEmitsWhatACanonicalizerWould(t *testing.T) {
	for _, value := range hostile {
		w := sample(value)
		if w.err != nil {
			t.Errorf("%q: %v", value, w.err)
			continue
		}
		if got := canonicalized(t, w.buf); got != string(w.buf) {
			t.Errorf("%q:\n wrote %s\n canon %s", value, w.buf, got)
		}
	}
}

func TestWhatIsWrittenReadsBackTheSame(t *testing.T) {
	for _, value := range hostile {
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(sample(value).buf); err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		if got := doc.Root().FindElement("./Issuer").Text(); got != value {
			t.Errorf("text %q came back as %q", value, got)
		}
		if got := doc.Root().SelectAttrValue("ID", ""); got != "x"+value {
			t.Errorf("attribute %q came back as %q", "x"+value, got)
		}
	}
}

func TestWriterRefusesWhatXMLCannotHold(t *testing.T) {
	for _, value := range []string{"\x00", "a\x01", "\x0b", "\x1f", "\x1b[31m", "\xff", "ok\xc3", "\xed\xa0\x80", "\ufffe", "\uffff"} {
		if w := sample(value); w.err == nil {
			t.Errorf("%q was written: %q", value, w.buf)
		}
	}
}

// The three forms that are hashed: the Response, the Assertion as an apex of
// its own, and SignedInfo, each without the Signature that they carry.
func TestSignedBytesAreCanonical(t *testing.T) {
	p := newTestIdP(t)
	a := awsAssertion(3)
	a.Sign = SignBoth
	r, err := p.Respond(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	document := decoded(t, r)
	if got := canonicalized(t, document); got != string(document) {
		t.Errorf("response\n wrote %s\n canon %s", document, got)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		t.Fatal(err)
	}
	assertion := doc.Root().FindElement("./Assertion").Copy()
	got, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(assertion)
	if err != nil || !strings.Contains(string(document), string(got)) {
		t.Errorf("the canonical assertion is not what was sent (%v): %s", err, got)
	}
}

func canonicalized(t testing.TB, document []byte) string {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		t.Fatalf("%v: %s", err, document)
	}
	got, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(doc.Root())
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func FuzzCanonical(f *testing.F) {
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		w := sample(value)
		if w.err != nil {
			return
		}
		if got := canonicalized(t, w.buf); got != string(w.buf) {
			t.Errorf("%q:\n wrote %s\n canon %s", value, w.buf, got)
		}
	})
}
