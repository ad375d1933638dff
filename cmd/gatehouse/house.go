package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/audit"
	"gatehouse/internal/aws"
	"gatehouse/internal/config"
	"gatehouse/internal/delegate"
	"gatehouse/internal/kerberos"
	"gatehouse/internal/store"
	"gatehouse/ldap"
	"gatehouse/saml"
	"gatehouse/web"
	"gatehouse/web/idp"
	"gatehouse/web/signinapi"
	"gatehouse/web/ssoapi"
)

// house is a running Gatehouse: what lives as long as the process does, and
// the rooms that a reload replaces all at once.
type house struct {
	store     *store.Store
	audit     *audit.Log
	mu        sync.Mutex // one change at a time: of keys, of rooms
	keys      []gatehouse.SigningKey
	nameIDKey []byte
	tokenKey  []byte // marks clients and tokens of command-line sign-ins
	marks     []byte // the key of what access marks browsers and failed passwords with
	log       *slog.Logger
	server    *web.Server // that listens; after a reload it passes on to another
	current   atomic.Pointer[rooms]
	ahead     atomic.Int64 // of the database's clock, when last compared; a time.Duration
}

// rooms are what one configuration makes.
type rooms struct {
	cfg         *config.Config
	directories []*ldap.Directory
	aws         *aws.Client
	idp         *saml.IdP
	server      *web.Server
	stop        func() // ends what reads the directories' rules, and what counts hand-outs
}

// openHouse opens the store and the record, makes sure of a signing key, and
// furnishes the rooms.
func openHouse(ctx context.Context, cfg *config.Config, log *slog.Logger) (*house, error) {
	s, err := store.Open(ctx, cfg.Store, cfg.Secrets, nil)
	if err != nil {
		return nil, err
	}
	h := &house{store: s, log: log}
	if err := h.open(ctx, cfg); err != nil {
		h.close(ctx)
		return nil, err
	}
	return h, nil
}

func (h *house) open(ctx context.Context, cfg *config.Config) (err error) {
	if h.audit, err = audit.Open(ctx, cfg.Audit, h.store, nil, h.log); err != nil {
		return err
	}
	if err := h.openKeys(ctx, cfg.SAML.EntityID); err != nil {
		return err
	}
	r, err := h.furnish(cfg)
	if err != nil {
		return err
	}
	h.current.Store(r)
	h.server = r.server
	return nil
}

// openKeys reads the signing keys; the first replica of all makes the first.
func (h *house) openKeys(ctx context.Context, entityID string) (err error) {
	made := ""
	h.keys, err = h.store.FirstSigningKey(ctx, func() (gatehouse.SigningKey, error) {
		key, err := saml.NewSigningKey(time.Now(), entityID)
		made = key.ID
		return key, err
	})
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if slices.ContainsFunc(h.keys, func(k gatehouse.SigningKey) bool { return k.ID == made }) {
		h.log.InfoContext(ctx, "signing key created", slog.String("key", made))
		if err := h.audit.Record(ctx, gatehouse.Event{Kind: gatehouse.EventKeyCreated, Reason: made}); err != nil {
			return err
		}
	}
	if h.nameIDKey, err = h.store.Secret(ctx, "nameid", 32); err != nil {
		return fmt.Errorf("name identifier key: %w", err)
	}
	if h.tokenKey, err = h.store.Secret(ctx, "tokens", 32); err != nil {
		return fmt.Errorf("token key: %w", err)
	}
	if h.marks, err = h.store.Secret(ctx, "marks", 32); err != nil {
		return fmt.Errorf("key of browsers' marks: %w", err)
	}
	return nil
}

// furnish makes the rooms of a configuration, one line each where it goes.
func (h *house) furnish(cfg *config.Config) (*rooms, error) {
	r := &rooms{cfg: cfg, stop: func() {}}
	for _, name := range cfg.Awaited() {
		h.log.Warn("a rule names a service provider that has no metadata yet", slog.String("provider", name))
	}
	for _, key := range cfg.Idle() {
		h.log.Warn("this key gives nobody anything: nothing uses it yet; leave it out", slog.String("key", key))
	}
	var err error
	if r.aws, err = aws.New(cfg.AWS, nil, h.log); err != nil {
		return nil, err
	}
	if r.idp, err = saml.New(cfg.SAML, endpoints(cfg, r.aws), h.keys, h.nameIDKey, nil); err != nil {
		return nil, err
	}
	sources, err := r.openDirectories(h.log)
	if err != nil {
		return nil, err
	}
	tickets, err := h.openTickets(cfg)
	if err != nil {
		r.close()
		return nil, err
	}
	broker := access.New(access.Deps{
		Tickets: tickets, Directories: sources, Policy: cfg.Policy, Scopes: access.NewScopes(cfg.Access.Access), IdP: r.idp, AWS: r.aws, Audit: h.audit, Counters: h.store, Learnt: h.store,
		Throttle: cfg.Access.Throttle, Secret: h.marks, RolePage: rolePage(cfg), Log: h.log,
	})
	door := idp.New(idp.Config{PublicURL: cfg.Web.PublicURL, SessionMax: cfg.Web.Session.Max}, r.idp, broker, h.store, h.log, nil)
	keeper := delegate.New(delegate.Deps{Broker: broker, Records: h.store, Counters: h.store, Events: h.store, Key: h.tokenKey, Lasts: cfg.Web.Session.CLI, Most: cfg.Web.Limits.SessionsPerPerson, Log: h.log})
	r.server, err = web.New(cfg.Web, web.Deps{
		Programs: keeper, API: h.programDoors(cfg, keeper, broker),
		Broker: broker, Records: h.store, People: h.store, Events: h.store, Protocol: func(p web.Pages) http.Handler { return door.Handler(p) }, Leaving: door.SignOut,
		Ready: h.ready(r), Windows: cfg.Windows.Prefixes(), NameForms: nameForms(sources), STSEndpoint: cfg.AWS.STSEndpoint, DefaultRegion: cfg.AWS.Region, Log: h.log,
	})
	if err != nil {
		r.close()
		return nil, err
	}
	limits, stop := context.WithCancel(context.Background())
	r.stop = func() { stop(); broker.Close() }
	broker.KeepLimits(limits)
	return r, nil
}

// programDoors are the APIs that AWS's own clients speak.
func (h *house) programDoors(cfg *config.Config, keeper *delegate.Keeper, broker *access.Broker) http.Handler {
	public := strings.TrimSuffix(cfg.Web.PublicURL, "/")
	sso := ssoapi.New(ssoapi.Config{PublicURL: public, Region: cfg.AWS.Region, STSEndpoint: cfg.AWS.STSEndpoint, Profiles: cfg.Web.Portal.Profile}, keeper, broker, h.log, nil)
	mux := http.NewServeMux()
	mux.Handle("/", sso.Handler())
	mux.Handle("/v1/token", signinapi.New(signinapi.Config{PublicURL: public}, keeper, broker, h.store, h.log, nil).Handler())
	return mux
}

func (r *rooms) openDirectories(log *slog.Logger) ([]access.Source, error) {
	var sources []access.Source
	for _, dc := range r.cfg.Directories {
		d, err := ldap.New(dc, nil, log)
		if err != nil {
			r.close()
			return nil, err
		}
		r.directories = append(r.directories, d)
		sources = append(sources, source(d, dc))
	}
	return sources, nil
}

// source is a directory as the rules of access see it.
func source(d *ldap.Directory, dc ldap.Config) access.Source {
	s := access.Source{Directory: d, MaxAge: *dc.MaxAge, Suffixes: d.Suffixes()}
	if dc.Forest != "" {
		s.Suffixes = append(s.Suffixes, "."+dc.Forest) // whose domains need not be listed
	}
	return s
}

// mostForms is how many examples of names the sign-in page has room for.
const mostForms = 3

// nameForms are examples of names that say which directory they are in, where
// there are several to say it of.
func nameForms(sources []access.Source) []string {
	if len(sources) < 2 {
		return nil
	}
	var forms []string
	for _, s := range sources {
		if i := slices.IndexFunc(s.Suffixes, func(its string) bool { return strings.Index(its, ".") > 0 }); i >= 0 {
			forms = append(forms, "bob@"+s.Suffixes[i])
		} else if len(s.Suffixes) > 0 {
			forms = append(forms, strings.ToUpper(s.Suffixes[0])+`\bob`)
		}
	}
	return forms[:min(len(forms), mostForms)]
}

// openTickets reads the keytab; nil where none is configured.
func (h *house) openTickets(cfg *config.Config) (access.Tickets, error) {
	if !cfg.Windows.On() {
		return nil, nil
	}
	return kerberos.New(cfg.Windows, h.store, nil, h.log)
}

// endpoints says where the world reaches us, and where AWS takes responses.
func endpoints(cfg *config.Config, client *aws.Client) saml.Endpoints {
	e := saml.Endpoints{Metadata: publicURL(cfg, "saml", "metadata"), SSO: publicURL(cfg, "saml", "sso"), SLO: publicURL(cfg, "saml", "slo"), ECP: publicURL(cfg, "saml", "ecp")}
	for _, a := range cfg.Accounts {
		if acs := client.Recipient(a); !slices.Contains(e.AWS, acs) {
			e.AWS = append(e.AWS, acs)
		}
	}
	return e
}

func publicURL(cfg *config.Config, path ...string) string {
	u, err := url.JoinPath(cfg.Web.PublicURL, path...)
	if err != nil {
		return cfg.Web.PublicURL // Validate has refused such a one
	}
	return u
}

func rolePage(cfg *config.Config) func(account, role string) string {
	return func(account, role string) string { return publicURL(cfg, "roles", account, url.PathEscape(role)) }
}

// lookTime bounds one look at what a sign-in needs: probes give up soon.
const lookTime = 3 * time.Second

// ready is what a sign-in needs: the store and every directory, all looked at
// together, so that one which hangs does not keep the others' state unknown.
func (h *house) ready(r *rooms) func(context.Context) []gatehouse.Finding {
	return sparing(func(ctx context.Context) []gatehouse.Finding {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		findings := make([]gatehouse.Finding, 1+len(r.directories))
		var looking sync.WaitGroup
		looking.Go(func() {
			findings[0] = gatehouse.Finding{Subject: "store", State: gatehouse.FindingOK}
			if err := h.store.Ping(ctx); err != nil {
				findings[0].State, findings[0].Detail = gatehouse.FindingFailure, err.Error()
			}
		})
		for i, d := range r.directories {
			looking.Go(func() { findings[1+i] = d.Ready(ctx) })
		}
		looking.Wait()
		return append(findings, h.clock()...)
	})
}

// reload puts another configuration in the place of the one that answers.
// What cannot change while the process runs stays, and is named.
func (h *house) reload(cfg *config.Config) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.current.Load()
	for name, changed := range map[string]bool{
		"listen":             cfg.Web.Listen != old.cfg.Web.Listen,
		"admin_listen":       cfg.Web.AdminListen != old.cfg.Web.AdminListen,
		"store":              cfg.Store.URL != old.cfg.Store.URL,
		"audit.file":         cfg.Audit.File != old.cfg.Audit.File,
		"limits.connections": cfg.Web.Limits.Connections != old.cfg.Web.Limits.Connections,
		"tls":                (cfg.Web.TLS.CertFile == "") != (old.cfg.Web.TLS.CertFile == ""),
	} {
		if changed {
			h.log.Warn("this change waits for a restart", slog.String("key", name))
		}
	}
	if err := h.renew(cfg); err != nil {
		return err
	}
	next, err := h.furnish(cfg)
	if err != nil {
		return err
	}
	h.current.Store(next)
	h.server.Replace(next.server)
	// Requests that are under way keep the old rooms until they have ended.
	time.AfterFunc(time.Minute, old.close)
	return nil
}

func (r *rooms) close() {
	r.stop()
	for _, d := range r.directories {
		d.Close()
	}
}

func (h *house) close(ctx context.Context) {
	if r := h.current.Load(); r != nil {
		r.close()
	}
	if h.audit != nil {
		if err := h.audit.Close(ctx); err != nil {
			h.log.Warn("audit chain not closed", slog.Any("err", err))
		}
	}
	if err := h.store.Close(); err != nil {
		h.log.Warn("store not closed", slog.Any("err", err))
	}
}

// sweepEvery is how often expired rows are removed.
const sweepEvery = 5 * time.Minute

// sweep removes what has expired, until ctx ends.
func (h *house) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := h.store.Sweep(ctx); err != nil && ctx.Err() == nil {
				h.log.WarnContext(ctx, "expired rows not removed", slog.Any("err", err))
			}
		}
	}
}
