package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/audit"
	"gatehouse/internal/aws"
	"gatehouse/internal/config"
	"gatehouse/internal/kerberos"
	"gatehouse/internal/store"
	"gatehouse/ldap"
	"gatehouse/saml"
	"gatehouse/web"
	"gatehouse/web/idp"
)

// house is a running Gatehouse: what lives as long as the process does, and
// the rooms that a reload replaces all at once.
type house struct {
	store     *store.Store
	audit     *audit.Log
	keys      []gatehouse.SigningKey
	nameIDKey []byte
	log       *slog.Logger
	server    *web.Server // that listens; after a reload it passes on to another
	current   atomic.Pointer[rooms]
}

// rooms are what one configuration makes.
type rooms struct {
	cfg         *config.Config
	directories []*ldap.Directory
	aws         *aws.Client
	idp         *saml.IdP
	server      *web.Server
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
		return fmt.Errorf("audit: %w", err)
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
	return nil
}

// furnish makes the rooms of a configuration, one line each where it goes.
func (h *house) furnish(cfg *config.Config) (*rooms, error) {
	r := &rooms{cfg: cfg}
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
		Throttle: cfg.Access.Throttle, RolePage: rolePage(cfg), Log: h.log,
	})
	door := idp.New(idp.Config{PublicURL: cfg.Web.PublicURL}, r.idp, broker, h.store, h.log, nil)
	r.server, err = web.New(cfg.Web, web.Deps{
		Broker: broker, Records: h.store, People: h.store, Events: h.store, Protocol: func(p web.Pages) http.Handler { return door.Handler(p) },
		Ready: h.ready(r), Windows: cfg.Windows.Prefixes(), STSEndpoint: cfg.AWS.STSEndpoint, DefaultRegion: cfg.AWS.Region, Log: h.log,
	})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
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
		sources = append(sources, access.Source{Directory: d, MaxAge: dc.MaxAge})
	}
	return sources, nil
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
	e := saml.Endpoints{Metadata: publicURL(cfg, "saml", "metadata"), SSO: publicURL(cfg, "saml", "sso")}
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

// ready is what a sign-in needs.
func (h *house) ready(r *rooms) func(context.Context) []gatehouse.Finding {
	return sparing(func(ctx context.Context) []gatehouse.Finding {
		var findings []gatehouse.Finding
		if err := h.store.Ping(ctx); err != nil {
			findings = append(findings, gatehouse.Finding{Subject: "store", State: gatehouse.FindingFailure, Detail: err.Error()})
		} else {
			findings = append(findings, gatehouse.Finding{Subject: "store", State: gatehouse.FindingOK})
		}
		for _, d := range r.directories {
			findings = append(findings, d.Ready(ctx))
		}
		return findings
	})
}

// reload puts another configuration in the place of the one that answers.
// What cannot change while the process runs stays, and is named.
func (h *house) reload(cfg *config.Config) error {
	old := h.current.Load()
	for name, changed := range map[string]bool{
		"listen":       cfg.Web.Listen != old.cfg.Web.Listen,
		"admin_listen": cfg.Web.AdminListen != old.cfg.Web.AdminListen,
		"store":        cfg.Store.URL != old.cfg.Store.URL,
		"secret_files": !slices.Equal(cfg.Store.SecretFiles, old.cfg.Store.SecretFiles),
		"audit.file":   cfg.Audit.File != old.cfg.Audit.File,
		"tls":          (cfg.Web.TLS.CertFile == "") != (old.cfg.Web.TLS.CertFile == ""),
	} {
		if changed {
			h.log.Warn("this change waits for a restart", slog.String("key", name))
		}
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
