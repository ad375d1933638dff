package cloud

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The shapes of names: IAM User Guide, "IAM identifiers", "IAM and AWS STS
// quotas"; IAM API, CreateSAMLProvider.
var (
	accountID    = lazily(`^\d{12}$`)
	roleName     = lazily(`^[\w+=,.@-]{1,64}$`)
	rolePath     = lazily(`^/$|^/[\x21-\x7e]+/$`) // and of longestPath
	providerName = lazily(`^[\w._-]{1,128}$`)

	roleARN     = lazily(`^arn:([a-z-]+):iam::(\d{12}):role(/|/[\x21-\x7e]+/)([\w+=,.@-]{1,64})$`)
	providerARN = lazily(`^arn:([a-z-]+):iam::(\d{12}):saml-provider/([\w._-]{1,128})$`)
)

// longestPath is of a role's path. Patterns that count to it are large.
const longestPath = 512

// partitions maps each known partition to the audience that its sign-in
// endpoint is called by in SAML (not its URL).
var partitions = map[string]string{
	"aws":        "urn:amazon:webservices",
	"aws-us-gov": "urn:amazon:webservices:govcloud",
	"aws-cn":     "urn:amazon:webservices:cn-north-1",
}

// account is an Account as it is looked up.
type account struct {
	Account
	roles map[string]*Role

	mu        sync.Mutex
	providers map[string]*provider
}

// provider is an IAM SAML provider; its document comes later.
type provider struct{ document atomic.Pointer[metadata] }

// arn is a role's or a SAML provider's name in its parts.
type arn struct{ partition, account, path, name string }

func parseRoleARN(s string) (arn, bool) {
	m := roleARN.FindStringSubmatch(s)
	if m == nil || partitions[m[1]] == "" || len(m[3]) > longestPath {
		return arn{}, false
	}
	return arn{m[1], m[2], m[3], m[4]}, true
}

func parseProviderARN(s string) (arn, bool) {
	m := providerARN.FindStringSubmatch(s)
	if m == nil || partitions[m[1]] == "" {
		return arn{}, false
	}
	return arn{m[1], m[2], "", m[3]}, true
}

func indexAccounts(list []Account) (map[string]*account, error) {
	all := make(map[string]*account, len(list))
	for _, a := range list {
		if !accountID.MatchString(a.ID) {
			return nil, fmt.Errorf("account %q is not twelve digits", a.ID)
		}
		if all[a.ID] != nil {
			return nil, fmt.Errorf("account %s is there twice", a.ID)
		}
		indexed, err := indexAccount(a)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.ID, err)
		}
		all[a.ID] = indexed
	}
	return all, nil
}

func indexAccount(a Account) (*account, error) {
	a.Partition = cmp.Or(a.Partition, "aws")
	if partitions[a.Partition] == "" {
		return nil, fmt.Errorf("partition %q is not known", a.Partition)
	}
	indexed := &account{Account: a, roles: map[string]*Role{}, providers: map[string]*provider{}}
	for _, name := range a.Providers {
		if !providerName.MatchString(name) {
			return nil, fmt.Errorf("provider name %q is not one IAM accepts", name)
		}
		indexed.providers[name] = &provider{}
	}
	seen := map[string]bool{}
	for _, r := range a.Roles {
		if err := checkRole(&r); err != nil {
			return nil, err
		}
		if lower := strings.ToLower(r.Name); seen[lower] {
			return nil, fmt.Errorf("role %s is there twice, ignoring case", r.Name)
		} else {
			seen[lower] = true
		}
		indexed.roles[r.Name] = &r
	}
	return indexed, nil
}

func checkRole(r *Role) error {
	r.Path = cmp.Or(r.Path, "/")
	r.MaxSession = cmp.Or(r.MaxSession, time.Hour)
	switch {
	case !roleName.MatchString(r.Name):
		return fmt.Errorf("role name %q is not one IAM accepts", r.Name)
	case !rolePath.MatchString(r.Path) || len(r.Path) > longestPath:
		return fmt.Errorf("path %q of role %s is not one IAM accepts", r.Path, r.Name)
	case r.MaxSession < time.Hour || r.MaxSession > 12*time.Hour:
		return fmt.Errorf("longest session of role %s is %v: want 1h to 12h", r.Name, r.MaxSession)
	}
	return nil
}

// role finds the role that an ARN names, path and case included.
func (s *Server) role(a arn) (*account, *Role) {
	acc := s.accounts[a.account]
	if acc == nil || acc.Partition != a.partition {
		return nil, nil
	}
	r := acc.roles[a.name]
	if r == nil || r.Path != a.path {
		return acc, nil
	}
	return acc, r
}

// provider finds the SAML provider that an ARN names, with its document. An
// error says why there is no document; nil and no error: no such provider.
func (s *Server) provider(ctx context.Context, a arn) (*metadata, error) {
	acc := s.accounts[a.account]
	if acc == nil || acc.Partition != a.partition {
		return nil, nil
	}
	p := acc.provider(a.name)
	if p == nil {
		return nil, nil
	}
	if doc := p.document.Load(); doc != nil {
		return doc, nil
	}
	return s.askMetadata(ctx)
}

// askMetadata asks Config.Metadata, once.
func (s *Server) askMetadata(ctx context.Context) (*metadata, error) {
	if s.cfg.Metadata == nil {
		return nil, fmt.Errorf("no metadata was given for this provider")
	}
	s.metadataMu.Lock()
	defer s.metadataMu.Unlock()
	if s.uploaded != nil {
		return s.uploaded, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	raw, err := s.cfg.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the metadata: %w", err)
	}
	s.uploaded, err = parseMetadata(raw)
	return s.uploaded, err
}

// PutProvider creates a SAML provider in an account, or gives an existing one
// a new document, as IAM's CreateSAMLProvider and UpdateSAMLProvider do. It
// refuses what IAM refuses. It may be called while requests come in.
func (s *Server) PutProvider(accountID, name string, document []byte) error {
	acc := s.accounts[accountID]
	if acc == nil {
		return fmt.Errorf("cloud: account %q does not exist", accountID)
	}
	if !providerName.MatchString(name) {
		return fmt.Errorf("cloud: provider name %q is not one IAM accepts", name)
	}
	doc, err := parseMetadata(document)
	if err != nil {
		return fmt.Errorf("cloud: %w", err)
	}
	acc.mu.Lock()
	defer acc.mu.Unlock()
	if acc.providers[name] == nil {
		acc.providers[name] = &provider{}
	}
	acc.providers[name].document.Store(doc)
	return nil
}

func (a *account) provider(name string) *provider {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.providers[name]
}

// roleID is the role's unique identifier: AROA and 17 characters, the same
// for the same role each time.
func roleID(partition, account, name string) string {
	sum := sha256.Sum256([]byte(partition + account + name))
	return "AROA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// trusts says whether the trust policy lets this provider in with these
// conditions, and if not, why: AWS never says, but a log may.
func (t Trust) trusts(provider string, a *assertion) (why string) {
	switch {
	case !slices.Contains(t.Providers, provider):
		return "the trust policy does not name the provider"
	case len(t.Audiences) > 0 && !slices.Contains(t.Audiences, a.recipient):
		return "SAML:aud in the trust policy does not list the Recipient"
	case t.SubType != "" && t.SubType != a.subjectType():
		return "SAML:sub_type in the trust policy differs"
	case len(a.tags) > 0 && !t.TagSession:
		return "session tags, and the trust policy does not allow sts:TagSession"
	case a.sourceIdentity != "" && !t.SetSourceIdentity:
		return "source identity, and the trust policy does not allow sts:SetSourceIdentity"
	}
	return ""
}
