package saml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func TestMetadataOfProviders(t *testing.T) {
	post := acs("HTTP-POST", wikiACS, 0, "")
	one := func(head, keys, services string) string { return spMetadata(wikiID, head, keys, services) }
	for _, tt := range []struct {
		name, document string
		fault          string // what the error says; "" when it is good
		acs            string
	}{
		{"one service", one("", "", post), "", wikiACS},
		{"the default by isDefault", one("", "", post+acs("HTTP-POST", "https://b.example/", 1, `isDefault="1"`)), "", "https://b.example/"},
		{"the first that does not decline", one("", "", acs("HTTP-POST", "https://b.example/", 1, `isDefault="false"`)+post), "", wikiACS},
		{"the first when all decline", one("", "", acs("HTTP-POST", "https://b.example/", 1, `isDefault="false"`)), "", "https://b.example/"},
		{"a default of another binding does not count", one("", "", acs("PAOS", "https://b.example/", 1, `isDefault="true"`)+post), "", wikiACS},
		{"http on a loopback address", one("", "", acs("HTTP-POST", "http://127.0.0.1:8080/acs", 0, "")), "", "http://127.0.0.1:8080/acs"},
		{"http on localhost", one("", "", acs("HTTP-POST", "http://localhost:8080/acs", 0, "")), "", "http://localhost:8080/acs"},
		{"http on [::1]", one("", "", acs("HTTP-POST", "http://[::1]:8080/acs", 0, "")), "", "http://[::1]:8080/acs"},
		{"within EntitiesDescriptor", strings.NewReplacer(`<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"`, `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"><md:EntityDescriptor`, "</md:EntityDescriptor>", "</md:EntityDescriptor></md:EntitiesDescriptor>").Replace(one("", "", post)), "", wikiACS},
		{"an expired certificate", one("", keyDescriptor("", wikiKey()), post), "", wikiACS},
		{"valid until later", strings.Replace(one("", "", post), "entityID", `validUntil="2026-11-21T12:00:01Z" entityID`, 1), "", wikiACS},

		{"a script (CVE-2023-45683)", one("", "", acs("HTTP-POST", "javascript:alert(1)", 0, "")), "scheme", ""},
		{"http elsewhere", one("", "", acs("HTTP-POST", "http://wiki.corp.example/acs", 0, "")), "https", ""},
		{"http on a name that begins like a loopback", one("", "", acs("HTTP-POST", "http://127.0.0.1.evil.example/", 0, "")), "https", ""},
		{"a user in the address", one("", "", acs("HTTP-POST", "https://wiki@evil.example/", 0, "")), "plain URL", ""},
		{"a fragment", one("", "", acs("HTTP-POST", "https://wiki.corp.example/#x", 0, "")), "plain URL", ""},
		{"no host", one("", "", acs("HTTP-POST", "https:///acs", 0, "")), "plain URL", ""},
		{"a quote", one("", "", acs("HTTP-POST", "https://wiki.corp.example/&quot;", 0, "")), "plain URL", ""},
		{"no service that takes a POST", one("", "", acs("PAOS", "https://b.example/", 1, "")), "HTTP-POST", ""},
		{"validity that is over", strings.Replace(one("", "", post), "entityID", `validUntil="2026-11-21T12:00:00Z" entityID`, 1), "valid until", ""},
		{"validity of the role that is over", one(`validUntil="2020-01-01T00:00:00Z"`, "", post), "valid until", ""},
		{"signed requests without a key", one(`AuthnRequestsSigned="true"`, "", post), "no key", ""},
		{"a certificate that is none", one("", strings.Replace(keyDescriptor("", wikiKey()), "MII", "AAA", 1), post), "certificate", ""},
		{"a certificate that is not base64", one("", strings.Replace(keyDescriptor("", wikiKey()), "MII", "!!!", 1), post), "certificate", ""},
		{"a DTD", "<!DOCTYPE a>" + strings.SplitN(one("", "", post), "?>", 2)[1], "document type", ""},
		{"two roots", one("", "", post) + `<a/>`, "two root", ""},
		{"an identity provider", strings.ReplaceAll(one("", "", post), "SPSSODescriptor", "IDPSSODescriptor"), "no SAML 2.0 service provider", ""},
		{"SAML 1.1", strings.Replace(one("", "", post), "SAML:2.0:protocol", "SAML:1.1:protocol", 1), "no SAML 2.0 service provider", ""},
		{"two providers", one("", "", post+`</md:SPSSODescriptor><md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`+post), "more than one", ""},
		{"no entity ID", strings.Replace(one("", "", post), `entityID="`+wikiID+`"`, "", 1), "entity ID", ""},
		{"our own entity ID", strings.Replace(one("", "", post), wikiID, testEntityID, 1), "our own", ""},
		{"AWS's entity ID", strings.Replace(one("", "", post), wikiID, "urn:amazon:webservices", 1), "built in", ""},
		{"another document", "<html></html>", "not metadata", ""},
		{"not XML", "hello", "text outside", ""},
		{"nothing", "", "well-formed", ""},
		{"too large", one("", "", post) + strings.Repeat(" ", maxMetadata), "too large", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := providerFile(t, "Wiki", tt.document)
			all, err := loadProviders(Config{ServiceProviders: []ServiceProvider{f}}, testEntityID, []string{testAWSACS}, noon)
			if tt.fault == "" {
				if err != nil || all[wikiID] == nil || all[wikiID].ACS != tt.acs {
					t.Errorf("%v, %+v", err, all[wikiID])
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.fault) || !strings.Contains(err.Error(), f.MetadataFile) {
				t.Errorf("%v; want it to say %q and which file", err, tt.fault)
			}
		})
	}
}

func TestProvidersFromAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd [name]*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "Wiki.xml"), []byte(wikiMetadata()))
	write(t, filepath.Join(dir, "Vault.xml"), []byte(vaultMetadata()))
	write(t, filepath.Join(dir, "README"), []byte("not metadata"))
	all, err := loadProviders(Config{MetadataDir: dir}, testEntityID, nil, noon)
	if err != nil || all[wikiID].Name != "Wiki" || all[vaultID].Name != "Vault" || !all[vaultID].SignedRequests || all[wikiID].Sign != SignBoth {
		t.Errorf("%v: %+v", err, all)
	}
	write(t, filepath.Join(dir, "Again.xml"), []byte(wikiMetadata()))
	write(t, filepath.Join(dir, "Broken.xml"), []byte("<"))
	_, err = loadProviders(Config{MetadataDir: dir}, testEntityID, nil, noon)
	if err == nil || !strings.Contains(err.Error(), "another provider") || !strings.Contains(err.Error(), "Broken.xml") {
		t.Errorf("two faults, told together: %v", err)
	}
	if _, err := loadProviders(Config{MetadataDir: dir + "-absent"}, testEntityID, nil, noon); err == nil {
		t.Error("a folder that is not there is a fault")
	}
}

func TestMetadataIsReadAgainWhileWeRun(t *testing.T) {
	dir := t.TempDir()
	wiki := filepath.Join(dir, "Wiki.xml")
	write(t, wiki, []byte(wikiMetadata()))
	p, err := New(Config{MetadataDir: dir}, Endpoints{Metadata: testEntityID, SSO: testSSO}, []gatehouse.SigningKey{testKey()}, make([]byte, 32), func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(what string, want bool, fault string) {
		t.Helper()
		changed, err := p.Refresh()
		if changed != want || (err != nil) != (fault != "") || (err != nil && !strings.Contains(err.Error(), fault)) {
			t.Errorf("%s: %v, %v; want %v and %q", what, changed, err, want, fault)
		}
	}
	refresh("nothing new", false, "")
	write(t, filepath.Join(dir, "Vault.xml"), []byte(vaultMetadata()))
	refresh("a file more", true, "")
	if _, ok := p.Provider(vaultID); !ok {
		t.Error("the new provider is unknown")
	}
	write(t, wiki, []byte(strings.Replace(wikiMetadata(), wikiACS, wikiACS+"/2", 1)))
	refresh("another address", true, "")
	if !p.Registered(wikiID, wikiACS+"/2", false) || p.Registered(wikiID, wikiACS, false) {
		t.Error("the old address counts, or the new one does not")
	}
	write(t, wiki, []byte("<half"))
	refresh("a broken file", false, "Wiki.xml")
	refresh("the same broken file", false, "")
	if !p.Registered(wikiID, wikiACS+"/2", false) {
		t.Error("a broken file took the provider away")
	}
	if err := os.Remove(wiki); err != nil {
		t.Fatal(err)
	}
	refresh("a file that is gone", true, "")
	if _, ok := p.Provider(wikiID); ok {
		t.Error("a provider without a file is still known")
	}
}

func TestMetadataThatRunsOutWhileWeRunIsNoLongerGood(t *testing.T) {
	at := noon
	p := newIdPAt(t, func() time.Time { return at }, providerFile(t, "Wiki", strings.Replace(wikiMetadata(), "entityID=", `validUntil="2026-11-21T13:00:00Z" entityID=`, 1)))
	if sp, ok := p.Provider(wikiID); !ok || sp.Name != "Wiki" || !p.Registered(wikiID, wikiACS, false) {
		t.Errorf("%+v, %v", sp, ok)
	}
	at = noon.Add(time.Hour)
	if _, ok := p.Provider(wikiID); ok || p.Registered(wikiID, wikiACS, false) {
		t.Error("it is over")
	}
	if got := p.Providers(); len(got) != 3 {
		t.Errorf("%+v; want AWS's partitions", got)
	}
	if _, err := p.ParseRedirect(redirectQuery(t, plain("2026-11-21T12", "2026-11-21T13"))); err == nil {
		t.Error("its request was taken")
	}
}

func TestRegisteredIsByteForByte(t *testing.T) {
	p := idpWithProviders(t)
	for acs, want := range map[string]bool{
		wikiACS: true, "https://wiki.corp.example/old": true, wikiACS + "/": false, wikiACS + "?": false, "": false,
		strings.ToUpper(wikiACS): false, "https://vault.corp.example/acs": false, "https://wiki.corp.example/saml/ecp": false,
	} {
		if p.Registered(wikiID, acs, false) != want {
			t.Errorf("%q: want %v", acs, want)
		}
	}
	if p.Registered("https://unknown.example", wikiACS, false) || !p.Registered(awsAudience, testAWSACS, false) {
		t.Error("unknown provider, or AWS")
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		keys []string
	}{
		{"nothing is a good configuration", Config{}, nil},
		{"everything", Config{EntityID: "urn:x", ServiceProviders: []ServiceProvider{{Name: "Wiki", MetadataFile: "w.xml", Sign: SignBoth}}, Organization: Organization{"A", "", "https://a.example"}, Contact: Contact{"", "a@b"}}, nil},
		{"an entity ID that is none", Config{EntityID: "gatehouse"}, []string{"entity_id"}},
		{"an entity ID that is too long", Config{EntityID: "https://" + strings.Repeat("a", 256)}, []string{"entity_id"}},
		{"a provider without anything", Config{ServiceProviders: []ServiceProvider{{}}}, []string{"service_providers[0].name", "service_providers[0].metadata_file"}},
		{"one name twice", Config{ServiceProviders: []ServiceProvider{{Name: "Wiki", MetadataFile: "a"}, {Name: "Wiki", MetadataFile: "b"}}}, []string{"service_providers[1].name"}},
		{"an unknown way to sign", Config{ServiceProviders: []ServiceProvider{{Name: "Wiki", MetadataFile: "a", Sign: "none"}}}, []string{"service_providers[0].sign"}},
		{"an unknown algorithm", Config{ServiceProviders: []ServiceProvider{{Name: "Wiki", MetadataFile: "a", Signature: "rsa-sha1"}}}, []string{"service_providers[0].signature"}},
		{"a certificate for a folder that there is not", Config{MetadataDirCertFile: "a.pem"}, []string{"metadata_dir_cert_file"}},
		{"half an organization", Config{Organization: Organization{Name: "A"}}, []string{"organization"}},
		{"a contact without address", Config{Contact: Contact{Name: "A"}}, []string{"contact.email"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			for _, f := range tt.cfg.Validate() {
				keys = append(keys, f.Key)
			}
			if strings.Join(keys, " ") != strings.Join(tt.keys, " ") {
				t.Errorf("faults at %q, want %q", keys, tt.keys)
			}
		})
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := Endpoints{Metadata: testEntityID, SSO: testSSO}
	key := make([]byte, 32)
	for name, make := range map[string]func() error{
		"no SSO": func() error {
			_, err := New(Config{}, Endpoints{Metadata: testEntityID}, []gatehouse.SigningKey{testKey()}, key, nil)
			return err
		},
		"no entity ID": func() error {
			_, err := New(Config{}, Endpoints{SSO: testSSO}, []gatehouse.SigningKey{testKey()}, key, nil)
			return err
		},
		"no key":      func() error { _, err := New(Config{}, good, nil, key, nil); return err },
		"no name key": func() error { _, err := New(Config{}, good, []gatehouse.SigningKey{testKey()}, nil, nil); return err },
		"absent file": func() error {
			_, err := New(Config{ServiceProviders: []ServiceProvider{{Name: "Wiki", MetadataFile: "absent.xml"}}}, good, []gatehouse.SigningKey{testKey()}, key, nil)
			return err
		},
	} {
		if make() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(wikiMetadata())
	f.Add(vaultMetadata())
	f.Add(spMetadata(wikiID, "", encryptionKey("", method(algOAEP), method("http://www.w3.org/2009/xmlenc11#aes256-gcm")), acs("HTTP-POST", wikiACS, 0, "")))
	f.Add(spMetadata(wikiID, "", "", acs("HTTP-POST", "http://[::1]:8080/acs", 0, "")))
	f.Fuzz(func(t *testing.T, document string) {
		sp, err := parseMetadata([]byte(document), noon, EncryptByMetadata)
		if err != nil {
			return
		}
		if !isEntityID(sp.EntityID) || len(sp.endpoints) == 0 || sp.ACS == "" || sp.expired(noon) {
			t.Errorf("accepted %+v", sp)
		}
		for _, e := range sp.endpoints {
			if checkLocation("", e.location) != nil {
				t.Errorf("accepted %q", e.location)
			}
		}
	})
}
