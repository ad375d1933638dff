package store

import (
	"fmt"
	"net/url"
	"path/filepath"

	"gatehouse"
)

// Config says where the store is.
type Config struct {
	// URL is sqlite:///absolute/path.db for one replica, or
	// postgres://user@host/database for several. The file is made when it is
	// missing, its directory is not. A PostgreSQL URL takes libpq's
	// parameters (sslmode=verify-full, connect_timeout=3, …).
	URL string `yaml:"store"`

	// SecretFiles are files of at least 32 random bytes that seal what is
	// secret at rest: the first seals, all open. Every replica has the same.
	SecretFiles []string `yaml:"secret_files"`
}

// SetDefaults does nothing: where the record lives is nobody's guess.
func (c *Config) SetDefaults() {}

// Validate says what is wrong with the configuration.
func (c Config) Validate() []gatehouse.Fault {
	var faults []gatehouse.Fault
	if _, err := parseURL(c.URL); err != nil {
		faults = append(faults, gatehouse.Fault{Key: "store", What: err.Error()})
	}
	if len(c.SecretFiles) == 0 {
		faults = append(faults, gatehouse.Fault{Key: "secret_files",
			What: "is missing; name a file of at least 32 random bytes (head -c 32 /dev/urandom > secret.key)"})
	}
	return faults
}

// place is a parsed Config.URL.
type place struct {
	dialect dialect
	path    string // of the SQLite file
	url     string // for PostgreSQL
	name    string // for messages: never holds a password
}

func parseURL(s string) (place, error) {
	if s == "" {
		return place{}, fmt.Errorf("is missing; try sqlite:///var/lib/gatehouse/gatehouse.db")
	}
	u, err := url.Parse(s)
	if err != nil {
		// The error repeats the URL, which may hold a password.
		return place{}, fmt.Errorf("is not a URL; want sqlite:///absolute/path.db or postgres://user@host/database")
	}
	switch u.Scheme {
	case "sqlite":
		return parseSQLite(u)
	case "postgres", "postgresql":
		return place{dialect: onPostgres, url: s, name: u.Host + u.Path}, nil
	}
	return place{}, fmt.Errorf("is of an unknown kind %q; want sqlite:///absolute/path.db or postgres://user@host/database", u.Scheme)
}

func parseSQLite(u *url.URL) (place, error) {
	switch {
	case u.Host != "" || !filepath.IsAbs(u.Path) || filepath.Clean(u.Path) != u.Path:
		return place{}, fmt.Errorf("needs the absolute path of a file after three slashes: sqlite:///var/lib/gatehouse/gatehouse.db")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return place{}, fmt.Errorf("takes only a path after sqlite://; write ? and # in a path as %%3F and %%23")
	}
	return place{dialect: onSQLite, path: u.Path, name: u.Path}, nil
}
