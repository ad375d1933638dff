package kerberos

import (
	"bytes"
	"context"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	corp     = "CORP.EXAMPLE.COM"
	partners = "PARTNERS.EXAMPLE.NET"
	service  = "HTTP/aws.corp.example.com"
	aes      = etypeID.AES256_CTS_HMAC_SHA1_96
)

// start is when every test begins.
var start = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// key is one line of a keytab.
type key struct {
	principal, realm, password string
	version                    uint8
	kind                       int32
}

var corpKey = key{service, corp, "the service's password", 3, aes}

func table(t testing.TB, keys ...key) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	for _, k := range keys {
		if err := kt.AddEntry(k.principal, k.realm, k.password, start.Add(-24*time.Hour), k.version, k.kind); err != nil {
			t.Fatal(err)
		}
	}
	return kt
}

// file writes a keytab as Gatehouse is given it.
func file(t testing.TB, mode os.FileMode, keys ...key) string {
	t.Helper()
	data, err := table(t, keys...).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.keytab")
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// memory is Replays within one process.
type memory struct {
	mu   sync.Mutex
	seen map[string]time.Time
	err  error
}

func (m *memory) Once(_ context.Context, key string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return false, m.err
	}
	if _, ok := m.seen[key]; ok {
		return false, nil
	}
	m.seen[key] = until
	return true, nil
}

func acceptor(t testing.TB, replays Replays) *Acceptor {
	t.Helper()
	cfg := Config{KeytabFile: file(t, 0o600, corpKey), Realms: map[string]string{partners: "partners"}, Directory: "corp"}
	cfg.SetDefaults("https://aws.corp.example.com", []string{"corp", "partners"})
	if faults := cfg.Validate([]string{"corp", "partners"}); len(faults) > 0 {
		t.Fatal(faults)
	}
	a, err := New(cfg, replays, func() time.Time { return start }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ticket is what a realm and a client make of a person. The zero value is a
// good ticket of alice's.
type ticket struct {
	key           key    // that encrypts it; zero: the service's own
	name, realm   string // whose it is
	parts         []string
	service       string
	proved, end   time.Duration // from start; zero: an hour ago, in nine hours
	begins        time.Duration
	flag          int
	sender        string        // the name in the authenticator; empty: the same
	senderRealm   string        // likewise
	clock         time.Duration // how far ahead the client's is
	bare, windows bool          // without SPNEGO; with Windows' name for Kerberos
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (k ticket) request(t testing.TB) messages.APReq {
	t.Helper()
	by := or(k.key, corpKey)
	name := types.PrincipalName{NameType: nametype.KRB_NT_PRINCIPAL, NameString: []string{or(k.name, "alice")}}
	if k.parts != nil {
		name.NameString = k.parts
	}
	sname, _ := types.ParseSPNString(by.principal)
	set := types.NewKrbFlags()
	if k.flag != 0 {
		types.SetFlag(&set, k.flag)
	}
	proved := start.Add(or(k.proved, -time.Hour))
	made, session, err := messages.NewTicket(name, or(k.realm, corp), sname, by.realm, set, table(t, by), by.kind, int(by.version),
		proved, start.Add(or(k.begins, -time.Hour)), start.Add(or(k.end, 9*time.Hour)), start.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	made.SName, _ = types.ParseSPNString(or(k.service, service))
	auth, err := types.NewAuthenticator(or(k.senderRealm, or(k.realm, corp)), name)
	if err != nil {
		t.Fatal(err)
	}
	if k.sender != "" {
		auth.CName.NameString = []string{k.sender}
	}
	auth.CTime, auth.Cusec = start.Add(k.clock), 0
	req, err := messages.NewAPReq(made, session, auth)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// token is the ticket as a browser sends it.
func (k ticket) token(t testing.TB) []byte {
	t.Helper()
	return k.wrap(t, k.request(t))
}

func (k ticket) wrap(t testing.TB, req messages.APReq) []byte {
	t.Helper()
	body, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	inner := frame(t, oidKerberos, append([]byte{1, 0}, body...))
	switch {
	case k.bare:
		return inner
	case k.windows:
		return negotiation(t, inner, oidWindowsKerberos, oidKerberos, oidNTLM)
	}
	return negotiation(t, inner, oidKerberos)
}

var oidNTLM = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}

func frame(t testing.TB, mech asn1.ObjectIdentifier, body []byte) []byte {
	return der(t, asn1.RawValue{Class: asn1.ClassApplication, IsCompound: true, Bytes: append(der(t, mech), body...)})
}

func negotiation(t testing.TB, inner []byte, mechs ...asn1.ObjectIdentifier) []byte {
	type start struct {
		MechTypes []asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
		MechToken []byte                  `asn1:"explicit,optional,omitempty,tag:2"`
	}
	return frame(t, oidSPNEGO, der(t, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: der(t, start{mechs, inner})}))
}

func der(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatATicketDoesNotProve(t *testing.T) {
	good := ticket{}.token(t)
	message := []byte("NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2")
	tests := []struct {
		name  string
		token []byte
		word  string
	}{
		{"a ticket under another key", ticket{key: key{service, corp, "a guess", 3, aes}}.token(t), wordMalformed},
		{"a ticket under an older key", ticket{key: key{service, corp, corpKey.password, 2, aes}}.token(t), wordMalformed},
		{"a ticket under an RC4 key", ticket{key: key{service, corp, corpKey.password, 3, etypeID.RC4_HMAC}}.token(t), wordMalformed},
		{"a ticket of another realm for the same name", ticket{key: key{service, partners, corpKey.password, 3, aes}}.token(t), wordMalformed},
		{"a ticket for another service under the same key", ticket{service: "HTTP/wiki.corp.example.com"}.token(t), wordForeign},
		{"a ticket for another service of this host", ticket{service: "host/aws.corp.example.com"}.token(t), wordForeign},
		{"a ticket for the realm itself", ticket{service: "krbtgt/" + corp}.token(t), wordForeign},
		{"a person of a realm that is not let in", ticket{realm: "EVIL.EXAMPLE"}.token(t), wordForeign},
		{"a realm spelt otherwise", ticket{realm: "corp.example.com"}.token(t), wordForeign},
		{"a sender who writes our realm into a partner's ticket", ticket{realm: partners, senderRealm: corp}.token(t), wordForeign},
		{"a sender who writes another name", ticket{name: "mallory", sender: "alice"}.token(t), wordForeign},
		{"alice/admin, who is not alice", ticket{parts: []string{"alice", "admin"}}.token(t), wordForeign},
		{"nobody", ticket{parts: []string{""}}.token(t), wordForeign},
		{"no name at all", ticket{parts: []string{}}.token(t), wordForeign},
		{"a computer", ticket{name: "PC1$"}.token(t), wordForeign},
		{"an expired ticket", ticket{end: -skew - time.Second}.token(t), wordTime},
		{"a ticket of the future", ticket{begins: skew + time.Second}.token(t), wordTime},
		{"a ticket proved in the future", ticket{proved: skew + time.Second}.token(t), wordTime},
		{"a ticket that was not validated", ticket{flag: flags.Invalid}.token(t), wordTime},
		{"an authenticator that is too old", ticket{clock: -skew - time.Second}.token(t), wordTime},
		{"an authenticator of the future", ticket{clock: skew + time.Second}.token(t), wordTime},
		{"NTLM", message, wordNone},
		{"NTLM in a negotiation", negotiation(t, message, oidNTLM), wordNone},
		{"NTLM under a list that begins with Kerberos", negotiation(t, message, oidKerberos, oidNTLM), wordNone},
		{"a negotiation that would rather have something else", negotiation(t, nil, oidKerberos), wordNone},
		{"a negotiation without a list", negotiation(t, good), wordNone},
		{"nothing", nil, wordNone},
		{"garbage", []byte("Basic YWxpY2U6aHVudGVyMg=="), wordMalformed},
		{"70 KiB", append(bytes.Clone(good), make([]byte, 70<<10)...), wordMalformed},
		{"an answer in place of a first token", append([]byte{0xa1}, good[1:]...), wordMalformed},
		{"a reply in place of a request", negotiation(t, frame(t, oidKerberos, []byte{2, 0, 0x6f, 0}), oidKerberos), wordMalformed},
		{"a negotiation within a negotiation", negotiation(t, good, oidKerberos), wordNone},
		{"a length of 2 GB", []byte{0x60, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x06}, wordMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			replays := &memory{seen: map[string]time.Time{}}
			who, err := acceptor(t, replays).Accept(t.Context(), tt.token)
			wantRefusal(t, who, err, tt.word)
			if len(replays.seen) > 0 {
				t.Error("what proves nothing was noted in the store")
			}
		})
	}
}

func wantRefusal(t testing.TB, who gatehouse.Principal, err error, word string) {
	t.Helper()
	var own interface{ Reason() string }
	if !errors.Is(err, gatehouse.ErrInvalidCredentials) || !errors.As(err, &own) || own.Reason() != word {
		t.Errorf("error %v, want ErrInvalidCredentials for %q", err, word)
	}
	if errors.Is(err, gatehouse.ErrNoTicket) != (word == wordNone) {
		t.Errorf("error %v is ErrNoTicket, or should be", err)
	}
	if who != (gatehouse.Principal{}) {
		t.Errorf("refused, and yet %+v", who)
	}
}

func TestWhatATicketProves(t *testing.T) {
	alice := gatehouse.Principal{Name: "alice", Realm: corp, Directory: "corp", ProvedAt: start.Add(-time.Hour)}
	soon := alice
	soon.ProvedAt = start
	tests := []struct {
		name  string
		token []byte
		want  gatehouse.Principal
	}{
		{"a name, a realm, its directory, and when the person proved themselves", ticket{}.token(t), alice},
		{"the same without SPNEGO around it", ticket{bare: true}.token(t), alice},
		{"the same as Windows sends it", ticket{windows: true}.token(t), alice},
		{"a service is the same in capitals", ticket{service: "http/AWS.CORP.EXAMPLE.COM"}.token(t), alice},
		{"a person of a realm that a trust leads to", ticket{realm: partners}.token(t),
			gatehouse.Principal{Name: "alice", Realm: partners, Directory: "partners", ProvedAt: start.Add(-time.Hour)}},
		{"clocks may differ by five minutes", ticket{clock: skew, end: -skew, begins: skew}.token(t), alice},
		{"nobody proves themselves in the future", ticket{proved: skew}.token(t), soon},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := acceptor(t, &memory{seen: map[string]time.Time{}}).Accept(t.Context(), tt.token)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("principal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTicketsThatOnlyARealmCanMake(t *testing.T) {
	a := acceptor(t, nil)
	alice := types.PrincipalName{NameString: []string{"alice"}}
	through := messages.TransitedEncoding{TRType: 1, Contents: []byte("MIDDLE.EXAMPLE")}
	checked := types.NewKrbFlags()
	types.SetFlag(&checked, flags.TransitedPolicyChecked)
	tests := []struct {
		name string
		part messages.EncTicketPart
		ok   bool
	}{
		{"by way of realms that nobody checked", messages.EncTicketPart{CName: alice, CRealm: partners, Flags: types.NewKrbFlags(), Transited: through}, false},
		{"by way of realms that were checked", messages.EncTicketPart{CName: alice, CRealm: partners, Flags: checked, Transited: through}, true},
		{"bound to an address", messages.EncTicketPart{CName: alice, CRealm: corp, Flags: checked, CAddr: []types.HostAddress{{AddrType: 2, Address: []byte{192, 0, 2, 1}}}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if who, err := a.principal(tt.part); (err == nil) != tt.ok {
				t.Errorf("principal = %+v, %v; want it accepted: %v", who, err, tt.ok)
			}
		})
	}
}

func TestAReplayedTicketIsRefused(t *testing.T) {
	dir := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	replica := func() *Acceptor {
		s, err := store.Open(t.Context(), store.Config{URL: dir}, [][]byte{bytes.Repeat([]byte("s"), 32)}, func() time.Time { return start })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return acceptor(t, s)
	}
	one, two := replica(), replica()
	req := ticket{}.request(t)
	token := ticket{}.wrap(t, req)
	if _, err := one.Accept(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string]struct {
		at    *Acceptor
		token []byte
	}{
		"by the same replica":       {one, token},
		"by another":                {two, token},
		"by one that started since": {replica(), token},
		"in another negotiation":    {two, ticket{windows: true}.wrap(t, req)},
		"without a negotiation":     {two, ticket{bare: true}.wrap(t, req)},
		"with something behind it":  {two, append(bytes.Clone(token), 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := again.at.Accept(t.Context(), again.token)
			wantRefusal(t, who, err, wordReplayed)
		})
	}
	if _, err := two.Accept(t.Context(), ticket{}.token(t)); err != nil {
		t.Errorf("another ticket of the same person: %v", err)
	}
}

func TestAReplayIsRememberedForAsLongAsTheTicketWouldDo(t *testing.T) {
	for _, clock := range []time.Duration{-skew, 0, skew} {
		replays := &memory{seen: map[string]time.Time{}}
		if _, err := acceptor(t, replays).Accept(t.Context(), ticket{clock: clock}.token(t)); err != nil {
			t.Fatal(err)
		}
		for _, until := range replays.seen {
			if last := start.Add(clock + skew); until.Before(last.Add(time.Minute)) {
				t.Errorf("with a clock ahead by %v: forgotten at %v, good until %v on some replica", clock, until, last)
			}
		}
	}
}

func TestWithoutTheReplayStoreNobodyIsLetIn(t *testing.T) {
	away := &gatehouse.Unavailable{What: "store", Name: "db", Err: errors.New("down")}
	who, err := acceptor(t, &memory{err: away}).Accept(t.Context(), ticket{}.token(t))
	if !errors.Is(err, gatehouse.ErrUnavailable) || errors.Is(err, gatehouse.ErrInvalidCredentials) || who.Name != "" {
		t.Errorf("Accept = %+v, %v; want ErrUnavailable", who, err)
	}
}

func TestATruncatedTokenIsRefused(t *testing.T) {
	a := acceptor(t, &memory{seen: map[string]time.Time{}})
	token := ticket{}.token(t)
	for n := range token {
		if _, err := a.Accept(t.Context(), token[:n]); !errors.Is(err, gatehouse.ErrInvalidCredentials) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(token), err)
		}
	}
}

// Of every change to a single byte, those are harmless that the ticket's
// meaning does not depend on; they must prove the same person or nobody.
func TestAChangedByteProvesNobodyElse(t *testing.T) {
	token := ticket{}.token(t)
	for i := range token {
		for _, bit := range []byte{1, 0x80, 0xff} {
			a := acceptorOf(t)
			changed := bytes.Clone(token)
			changed[i] ^= bit
			who, err := a.Accept(t.Context(), changed)
			if err == nil && (who.Name != "alice" || who.Realm != corp) {
				t.Errorf("byte %d ^ %x proves %s", i, bit, who)
			}
			if err != nil && !errors.Is(err, gatehouse.ErrInvalidCredentials) {
				t.Errorf("byte %d ^ %x: %v", i, bit, err)
			}
		}
	}
}

var shared = struct {
	sync.Once
	*Acceptor
}{}

// acceptorOf is one acceptor for many tokens, since a key takes long to derive.
func acceptorOf(t testing.TB) *Acceptor {
	shared.Do(func() { shared.Acceptor = acceptor(t, nil) })
	a := *shared.Acceptor
	a.replays = &memory{seen: map[string]time.Time{}}
	return &a
}

func TestAPanicIsARefusal(t *testing.T) {
	a := acceptorOf(t)
	a.now = func() time.Time { panic("a fault of ours") }
	who, err := a.Accept(t.Context(), ticket{}.token(t))
	wantRefusal(t, who, err, wordMalformed)
}

func FuzzAccept(f *testing.F) {
	for _, k := range []ticket{{}, {bare: true}, {windows: true}, {end: -time.Hour}, {service: "HTTP/other"}} {
		f.Add(k.token(f))
	}
	f.Add([]byte("NTLMSSP\x00\x01\x00\x00\x00"))
	f.Add(negotiation(f, nil))
	f.Add(frame(f, oidKerberos, []byte{1, 0, 0x6e, 0}))
	a := acceptorOf(f)
	f.Fuzz(func(t *testing.T, token []byte) {
		a := *a
		a.replays = &memory{seen: map[string]time.Time{}}
		began := time.Now()
		who, err := a.Accept(t.Context(), token)
		switch {
		case err == nil && (who.Name != "alice" || who.Realm != corp || who.Directory != "corp"):
			t.Errorf("proved %+v", who)
		case err != nil && !errors.Is(err, gatehouse.ErrInvalidCredentials):
			t.Errorf("error %v", err)
		case time.Since(began) > 5*time.Second:
			t.Errorf("took %v", time.Since(began))
		}
	})
}

func BenchmarkAccept(b *testing.B) {
	a := acceptorOf(b)
	token := ticket{}.token(b)
	for b.Loop() {
		a.replays = &memory{seen: map[string]time.Time{}}
		if _, err := a.Accept(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
