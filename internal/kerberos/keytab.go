package kerberos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"

	"gatehouse"
)

// strong are the kinds of keys that are used: AES (RFC 3962, RFC 8009). A
// realm that gives RC4 or DES keys to a service lets whoever breaks one of
// them make tickets.
var strong = map[int32]string{
	etypeID.AES128_CTS_HMAC_SHA1_96:    "aes128-cts-hmac-sha1-96",
	etypeID.AES256_CTS_HMAC_SHA1_96:    "aes256-cts-hmac-sha1-96",
	etypeID.AES128_CTS_HMAC_SHA256_128: "aes128-cts-hmac-sha256-128",
	etypeID.AES256_CTS_HMAC_SHA384_192: "aes256-cts-hmac-sha384-192",
}

// largestKeytab bounds what is read: a key takes a hundred bytes.
const largestKeytab = 1 << 20

// load reads a keytab that is not everybody's to read.
func load(path string) (kt *keytab.Keytab, err error) {
	defer func() { // the library trusts lengths in the file
		if v := recover(); v != nil {
			kt, err = nil, fmt.Errorf("%s is not a keytab: %v", path, v)
		}
	}()
	data, err := gatehouse.ReadSecret(path, largestKeytab)
	if err != nil {
		return nil, err
	}
	kt = new(keytab.Keytab)
	if err := kt.Unmarshal(data); err != nil {
		// The library's own text may hold the file's bytes.
		return nil, fmt.Errorf("%s is not a keytab", path)
	}
	return kt, nil
}

// keysOf is the part of a keytab that is used: the strong keys of one service.
func keysOf(all *keytab.Keytab, service types.PrincipalName) *keytab.Keytab {
	kept := keytab.New()
	for _, e := range all.Entries {
		if strong[e.Key.KeyType] == "" || !sameName(e.Principal.Components, service.NameString) {
			continue
		}
		e.Principal.Components = service.NameString // in our spelling: the library compares bytes
		kept.Entries = append(kept.Entries, e)
	}
	return kept
}

// keys are what the configuration says of the service: its name, and the keys
// of it that are used.
func (c Config) keys() (service types.PrincipalName, kept *keytab.Keytab, err error) {
	all, err := load(c.KeytabFile)
	if err != nil {
		return service, nil, err
	}
	service, _ = types.ParseSPNString(c.ServicePrincipal)
	if kept = keysOf(all, service); len(kept.Entries) == 0 {
		return service, nil, fmt.Errorf("has no AES key of %s; it has %s", c.ServicePrincipal, contents(all))
	}
	return service, kept, nil
}

// contents says what is in a keytab, without the keys.
func contents(kt *keytab.Keytab) string {
	var list []string
	for _, e := range kt.Entries {
		kind := cmp.Or(strong[e.Key.KeyType], fmt.Sprintf("key type %d", e.Key.KeyType))
		list = append(list, fmt.Sprintf("%s version %d %s", e.Principal, e.KVNO, kind))
	}
	if len(list) == 0 {
		return "no key"
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// Check looks at the keytab and at what the configuration says of it.
func Check(_ context.Context, cfg Config) []gatehouse.Finding {
	const subject = "windows sign-in"
	if !cfg.On() {
		return nil
	}
	a, err := New(cfg, nil, nil, nil)
	if err != nil {
		return []gatehouse.Finding{{Subject: subject, State: gatehouse.FindingFailure, Detail: err.Error(), Fix: cure(cfg, err)}}
	}
	list := []gatehouse.Finding{{Subject: subject, State: gatehouse.FindingOK, Detail: contents(a.keys)}}
	warn := func(detail, fix string) {
		list = append(list, gatehouse.Finding{Subject: subject, State: gatehouse.FindingWarning, Detail: detail, Fix: fix})
	}
	if len(cfg.Networks) == 0 {
		warn("it is offered nowhere: windows.networks is empty", "list the networks of computers that have tickets")
	}
	if unnumbered(a.keys) {
		warn("a key has version 0: the realm numbers its keys, and tickets name the number",
			"export the keytab again, with the account's own key version (msDS-KeyVersionNumber)")
	}
	return list
}

func unnumbered(kt *keytab.Keytab) bool {
	for _, e := range kt.Entries {
		if e.KVNO == 0 {
			return true
		}
	}
	return false
}

// cure is what to do about a keytab that New refuses.
func cure(cfg Config, err error) string {
	file := (*gatehouse.FileError)(nil)
	if errors.As(err, &file) && file.Err == nil && file.Fix != "" {
		return file.Fix
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "AES") {
		return "put a keytab there that Gatehouse, and nobody else, may read"
	}
	return "allow AES for the service's account (msDS-SupportedEncryptionTypes 24), set its password once more, " +
		"and export the keytab with --principal=" + cfg.ServicePrincipal
}
