package cloud_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/beevik/etree"

	"gatehouse/internal/demo/cloud"
)

func TestDurationIsTheShortestAskedFor(t *testing.T) {
	s := start(t)
	end := func(d time.Duration) func(_, a *etree.Element) {
		return func(_, a *etree.Element) {
			a.FindElement("./AuthnStatement").CreateAttr("SessionNotOnOrAfter", stamp(now.Add(d)))
		}
	}
	tests := []struct {
		name  string
		asked int32
		kv    []string
		edit  func(_, a *etree.Element)
		want  time.Duration
	}{
		{"an hour when nothing is asked", 0, nil, nil, time.Hour},
		{"what is asked", 900, nil, nil, 15 * time.Minute},
		{"what is asked, up to the role's maximum", 43200, nil, nil, 12 * time.Hour},
		{"SessionDuration shortens", 0, []string{"SessionDuration", "900"}, nil, 15 * time.Minute},
		{"SessionDuration never lengthens", 0, []string{"SessionDuration", "43200"}, nil, time.Hour},
		{"SessionNotOnOrAfter shortens", 43200, nil, end(10 * time.Minute), 10 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := with(append([]string{"Role", opsARN + "," + provider}, tt.kv...)...)
			w.before = tt.edit
			out, err := assume(t, s, w.encoded(t), func(in *sts.AssumeRoleWithSAMLInput) {
				if in.RoleArn = awssdk.String(opsARN); tt.asked > 0 {
					in.DurationSeconds = &tt.asked
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := out.Credentials.Expiration.Sub(now); got != tt.want {
				t.Errorf("lasts %v, want %v", got, tt.want)
			}
			if got, want := *out.AssumedRoleUser.Arn, "arn:aws:sts::111122223333:assumed-role/Ops/alice"; got != want {
				t.Errorf("Arn = %q, want %q: the path is dropped", got, want)
			}
		})
	}
}

func TestRolePairIsReadInEitherOrderAndTrimmed(t *testing.T) {
	s := start(t)
	for _, value := range []string{
		devARN + "," + provider, provider + "," + devARN, " " + devARN + " , " + provider + "\n",
	} {
		if _, err := assume(t, s, with("Role", value).encoded(t)); err != nil {
			t.Errorf("Role %q: %v", value, err)
		}
	}
}

func TestAssertionMayBeRedeemedTwice(t *testing.T) {
	s := start(t)
	encoded := usual().encoded(t)
	for range 2 {
		if _, err := assume(t, s, encoded); err != nil {
			t.Error(err)
		}
	}
}

func TestNameQualifierIsTheDocumentedHash(t *testing.T) {
	// Measured with AWS documentation's example: Issuer https://example.com/saml, account 123456789012, provider MySAMLIdP.
	s, err := cloud.Start(cloud.Config{Now: func() time.Time { return now }, Accounts: []cloud.Account{{
		ID: "123456789012", Providers: []string{"MySAMLIdP"},
		Roles: []cloud.Role{{Name: "R", Trust: cloud.Trust{Providers: []string{"MySAMLIdP"}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.PutProvider("123456789012", "MySAMLIdP", metadataOf("https://example.com/saml", good().cert)); err != nil {
		t.Fatal(err)
	}
	role, prov := "arn:aws:iam::123456789012:role/R", "arn:aws:iam::123456789012:saml-provider/MySAMLIdP"
	w := with("Role", role+","+prov)
	w.before = func(r, a *etree.Element) {
		for _, el := range []*etree.Element{r, a} {
			el.FindElement("./Issuer").SetText("https://example.com/saml")
		}
		a.FindElement(".//NameID").CreateAttr("Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
	}
	out, err := assume(t, s, w.encoded(t), func(in *sts.AssumeRoleWithSAMLInput) { in.RoleArn, in.PrincipalArn = &role, &prov })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *out.NameQualifier, "1uAJanUnBc2XeUkHURMht+xam2c="; got != want {
		t.Errorf("NameQualifier = %q, want %q", got, want)
	}
	if got, want := *out.SubjectType, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"; got != want {
		t.Errorf("SubjectType = %q, want %q: only the 2.0 prefix is removed", got, want)
	}
	//lint:ignore SA1019 the emulator answers as AWS documents the call
	if out.PackedPolicySize != nil || out.SourceIdentity != nil {
		//lint:ignore SA1019 the emulator answers as AWS documents the call
		t.Errorf("PackedPolicySize %v, SourceIdentity %v: want neither", out.PackedPolicySize, out.SourceIdentity)
	}
}

func TestMetadataIsAskedForOnceAndAgainAfterAnError(t *testing.T) {
	asked := 0
	s := start(t, func(c *cloud.Config) {
		c.Metadata = func(context.Context) ([]byte, error) {
			if asked++; asked == 1 {
				return nil, errors.New("not up yet")
			}
			return metadataOf(entityID, good().cert), nil
		}
	})
	empty := "arn:aws:iam::111122223333:saml-provider/Empty"
	form := url.Values{"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"}, "RoleArn": {devARN},
		"PrincipalArn": {empty}, "SAMLAssertion": {with("Role", devARN+","+empty).encoded(t)}}
	// The trust policy names Gatehouse only, so 403 means: the document was good.
	for i, want := range []string{"InvalidIdentityToken", "AccessDenied", "AccessDenied"} {
		if _, code, message := post(t, s, form); code != want {
			t.Errorf("call %d: %s %q, want %s", i+1, code, message, want)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

func TestUploadsThatIAMRefuses(t *testing.T) {
	s := start(t)
	small := newIssuer(1024)
	fine := string(metadataOf(entityID, good().cert))
	tests := []struct {
		name, doc, want string
	}{
		{"too short", strings.TrimSpace(fine)[:900], "1000"},
		{"a byte order mark", "\ufeff" + fine, "Could not parse metadata."},
		{"not UTF-8", fine + "\xff", "Could not parse metadata."},
		{"not XML", strings.Repeat("x", 1000), "Could not parse metadata."},
		{"a document type", "<!DOCTYPE x>" + strings.TrimPrefix(fine, `<?xml version="1.0"?>`), "Could not parse metadata."},
		{"not metadata", "<a>" + strings.Repeat("x", 1000) + "</a>", "Could not parse metadata."},
		{"no keys", string(metadataOf(entityID)) + strings.Repeat(" ", 500), "Unable to parse metadata"},
		{"eleven keys", string(metadataOf(entityID, slices.Repeat([][]byte{good().cert}, 11)...)), "Unable to parse metadata"},
		{"a broken certificate", strings.Replace(fine, "<ds:X509Certificate>MII", "<ds:X509Certificate>AII", 1), "Unable to parse metadata"},
		{"only an encryption key", strings.Replace(fine, `use="signing"`, `use="encryption"`, 1), "Unable to parse metadata"},
		{"no entityID", strings.Replace(fine, ` entityID="`+entityID+`"`, "", 1), "Unable to parse metadata"},
	}
	for _, tt := range tests {
		err := s.PutProvider(account, "Gatehouse", []byte(tt.doc))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := s.PutProvider(account, "Gatehouse", metadataOf(entityID, small.cert)); err != nil {
		t.Errorf("a key of 1024 bits: %v, want nil", err)
	}
	if err := s.PutProvider(account, "New", []byte(fine)); err != nil {
		t.Errorf("a new provider: %v, want nil", err)
	}
	if err := s.PutProvider(account, "a/b", []byte(fine)); err == nil {
		t.Error("a provider's name with a slash was accepted")
	}
	if err := s.PutProvider("123", "Gatehouse", []byte(fine)); err == nil {
		t.Error("an account that does not exist took a document")
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	tests := []struct {
		name string
		cfg  cloud.Config
	}{
		{"an address others can reach", cloud.Config{Listen: "0.0.0.0:0"}},
		{"an account of eleven digits", cloud.Config{Accounts: []cloud.Account{{ID: "12345678901"}}}},
		{"an account twice", cloud.Config{Accounts: []cloud.Account{{ID: account}, {ID: account}}}},
		{"roles that differ only in case", cloud.Config{Accounts: []cloud.Account{{ID: account, Roles: []cloud.Role{{Name: "Dev"}, {Name: "dev"}}}}}},
		{"a role of thirteen hours", cloud.Config{Accounts: []cloud.Account{{ID: account, Roles: []cloud.Role{{Name: "Dev", MaxSession: 13 * time.Hour}}}}}},
		{"a role's name with a slash", cloud.Config{Accounts: []cloud.Account{{ID: account, Roles: []cloud.Role{{Name: "a/b"}}}}}},
		{"a URL with a path", cloud.Config{URL: "http://localhost:1/aws"}},
	}
	for _, tt := range tests {
		if s, err := cloud.Start(tt.cfg); err == nil {
			t.Errorf("%s was accepted", tt.name)
			_ = s.Close()
		}
	}
}

func TestCallsTellWhatWasAskedAndNoSecret(t *testing.T) {
	s := start(t)
	encoded := with("PrincipalTag:team", "pay", "TransitiveTagKeys", "team", "SourceIdentity", "alice").encoded(t)
	out, err := assume(t, s, encoded)
	if err != nil {
		t.Fatal(err)
	}
	got := last(s)
	if got.Action != "AssumeRoleWithSAML" || got.Role != devARN || got.Provider != provider || got.SessionName != "alice" ||
		got.SourceIdentity != "alice" || got.Lasts != time.Hour || got.AssertionID != "_a1" || got.Status != 200 ||
		!slices.Equal(got.Tags, []cloud.Tag{{Key: "team", Value: "pay"}}) || !slices.Equal(got.Transitive, []string{"team"}) {
		t.Errorf("call = %+v", got)
	}
	for _, secret := range []string{encoded[:40], *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken} {
		if strings.Contains(strings.Join([]string{got.Why, got.Code, got.Role, got.Provider, got.Destination}, " "), secret) {
			t.Error("a secret is in the record")
		}
	}
}
