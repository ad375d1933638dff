// Package config reads the one YAML file into every room's Config.
//
// Unknown keys are refused, and all faults are reported together, each with
// file, line and key: an operator mends a file once, not fault by fault. The
// files that it names are looked at with the rest, before anybody opens one.
// Relative paths are seen from the file's own folder, secrets come from *_file
// keys or ${ENVIRONMENT}. What a key means, and what is right for it, is the
// business of the room that owns it.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/audit"
	"gatehouse/internal/aws"
	"gatehouse/internal/kerberos"
	"gatehouse/internal/store"
	"gatehouse/ldap"
	"gatehouse/saml"
	"gatehouse/web"
)

// Config is everything that an operator can say.
type Config struct {
	Web         web.Config    `yaml:",inline"`
	Store       store.Config  `yaml:",inline"`
	Access      access.Config `yaml:",inline"`
	Directories []ldap.Config `yaml:"directories"`
	SAML        saml.Config   `yaml:"saml"`
	AWS         aws.Config    `yaml:"aws"`
	Audit       audit.Config  `yaml:"audit"`

	Windows kerberos.Config `yaml:"windows"`

	// What the file leads to, read and checked by Load.
	Accounts []gatehouse.Account `yaml:"-"` // inline ones and those of aws.accounts_file
	Policy   *access.Policy      `yaml:"-"`
	Secrets  [][]byte            `yaml:"-"` // contents of secret_files

	path  string
	lines func(key string) int
}

// Where says where a key stands, or would: "line 12 of gatehouse.yaml".
func (c *Config) Where(key string) string { return fmt.Sprintf("line %d of %s", c.lines(key), c.path) }

// Load reads the file at path, and looks at every file that it names.
//
// The error is a *Faults, which prints one line for each fault.
func Load(path string) (*Config, error) { return open(path, true) }

// Read is Load for what needs the store and the secrets alone, and is wanted
// even while a certificate or a document of somebody else's is missing.
func Read(path string) (*Config, error) { return open(path, false) }

func open(path string, named bool) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		fault := gatehouse.FaultOf("", gatehouse.Unreadable(path, err))
		if errors.Is(err, fs.ErrNotExist) {
			fault.Fix = "correct --config, or write the file: deploy/gatehouse.yaml shows every key"
		}
		return nil, &Faults{File: path, Faults: []Fault{{Fault: fault}}}
	}
	return read(path, data, named)
}

// Parse reads data as the contents of the file at path, as Load does.
func Parse(path string, data []byte) (*Config, error) { return read(path, data, true) }

// read looks at the files that are named where named says so.
func read(path string, data []byte, named bool) (*Config, error) {
	d := &decoder{env: os.LookupEnv}
	c := Config{path: path, lines: d.line}
	if !d.decode(data, &c) {
		return nil, d.report(path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	d.files(reflect.ValueOf(&c).Elem(), "", dir)
	c.setDefaults()
	d.replaced()
	d.judge(d.independent(c.validate(), ofRooms))
	if named {
		d.judge(c.examine())
	}
	c.load(d)
	if len(d.faults) > 0 {
		return nil, d.report(path)
	}
	return &c, nil
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func (c *Config) setDefaults() {
	c.Web.SetDefaults()
	c.Store.SetDefaults()
	c.SAML.SetDefaults()
	if strings.Contains(c.Web.PublicURL, "://") { // else there is fault enough
		c.SAML.EntityID = cmp.Or(c.SAML.EntityID, strings.TrimSuffix(c.Web.PublicURL, "/")+"/saml/metadata")
	}
	c.AWS.SetDefaults()
	c.Access.SetDefaults()
	c.Audit.SetDefaults()
	c.Windows.SetDefaults(c.Web.PublicURL, c.directoryNames())
	asked := c.Access.Attributes()
	for i := range c.Directories {
		c.Directories[i].SetDefaults()
		// What a rule's text refers to is asked of every directory.
		for _, name := range asked {
			if !slices.ContainsFunc(c.Directories[i].Attributes, func(have string) bool { return strings.EqualFold(have, name) }) {
				c.Directories[i].Attributes = append(c.Directories[i].Attributes, name)
			}
		}
	}
}

// validate asks every room.
func (c *Config) validate() []gatehouse.Fault {
	var all placed
	all.add("", c.Web.Validate())
	all.add("", c.Store.Validate())
	all.add("", c.Access.Validate())
	all.add("saml", c.SAML.Validate())
	all.add("aws", c.AWS.Validate())
	all.add("audit", c.Audit.Validate())
	all.add("windows", c.Windows.Validate(c.directoryNames()))
	names, claimed := map[string]bool{}, map[string]string{}
	for i, dir := range c.Directories {
		at := fmt.Sprintf("directories[%d]", i)
		for _, suffix := range dir.Claims() {
			if other, taken := claimed[suffix]; taken {
				all.add(at, []gatehouse.Fault{{Key: "suffixes", What: fmt.Sprintf("%q belongs to the directory %s: a name with it would mean two people", suffix, other)}})
			}
			claimed[suffix] = dir.Name
		}
		all.add(at, dir.Validate())
		if names[dir.Name] {
			all.add(at, []gatehouse.Fault{{Key: "name", What: fmt.Sprintf("%q is taken: a directory's name is part of every person's identity", dir.Name)}})
		}
		names[dir.Name] = true
	}
	if len(c.Directories) == 0 {
		all.add("", []gatehouse.Fault{{Key: "directories", What: "is missing: nobody could sign in"}})
	}
	return all
}

// examine has every room read the files that it names, as it will use them:
// what cannot be used is known before anything is opened.
func (c *Config) examine() []gatehouse.Fault {
	var all placed
	all.add("", c.Web.Files())
	all.add("saml", c.SAML.Files(time.Now()))
	all.add("audit", c.Audit.Files())
	all.add("windows", c.Windows.Files())
	for i, dir := range c.Directories {
		all.add(fmt.Sprintf("directories[%d]", i), dir.Files())
	}
	return all
}

// placed are faults under their keys in the file.
type placed []gatehouse.Fault

// add puts a room's place in the file before the keys that it names.
func (p *placed) add(prefix string, found []gatehouse.Fault) {
	for _, f := range found {
		f.Key = place(prefix, f.Key)
		*p = append(*p, f)
	}
}

func (c *Config) directoryNames() []string {
	var names []string
	for _, dir := range c.Directories {
		names = append(names, dir.Name)
	}
	return names
}

func place(prefix, key string) string {
	if prefix == "" || key == "" || key[0] == '.' || key[0] == '[' {
		return prefix + key
	}
	return prefix + "." + key
}

// load reads what the file leads to.
func (c *Config) load(d *decoder) {
	for i, path := range c.Store.SecretFiles {
		text, err := gatehouse.ReadSecret(path, longestSecret)
		if err != nil {
			d.lose(gatehouse.FaultOf(fmt.Sprintf("secret_files[%d]", i), err))
			continue
		}
		c.Secrets = append(c.Secrets, text)
	}
	accounts, err := c.AWS.AccountList()
	if err != nil {
		return // Validate has listed why; rules over half the accounts would only add noise
	}
	c.Accounts = accounts
	policy, faults := access.NewPolicy(c.Access, accounts, c.directoryNames(), append(c.SAML.ProviderNames(), c.Awaited()...))
	c.Policy = policy
	d.judge(d.independent(faults, ofPolicy))
}

// Idle lists the keys that are given and that nothing uses yet.
func (c *Config) Idle() []string {
	var keys []string
	for key, list := range map[string][]string{"administrators": c.Access.Administrators, "audit.readers": c.Audit.Readers} {
		if len(list) > 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Awaited lists the service providers that rules name and whose metadata may
// yet come into saml.metadata_dir, which is read while we run.
func (c *Config) Awaited() []string {
	var names []string
	known := c.SAML.ProviderNames()
	for _, r := range c.Access.Access.Rules {
		name := r.ServiceProvider
		file := name != "" && filepath.Base(name) == name && name[0] != '.'
		if c.SAML.MetadataDir != "" && file && !slices.Contains(known, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Faults is everything that is wrong with a configuration file.
type Faults struct {
	File   string
	Faults []Fault
}

// Fault is one thing wrong, and on which line.
type Fault struct {
	gatehouse.Fault
	Line int // 0: the file as a whole
}

// report puts the faults in the order of the file.
func (d *decoder) report(path string) *Faults {
	list := &Faults{File: path}
	for _, f := range d.faults {
		line := 0
		if len(d.lines) > 0 {
			line = d.line(f.Key)
		}
		list.Faults = append(list.Faults, Fault{f, line})
	}
	slices.SortStableFunc(list.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key))
	})
	return list
}

// Error is one line for each fault: file:line: key what; fix.
func (f *Faults) Error() string {
	var b strings.Builder
	for i, fault := range f.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.File)
		if fault.Line > 0 {
			fmt.Fprintf(&b, ":%d", fault.Line)
		}
		b.WriteString(": ")
		if fault.Key != "" {
			b.WriteString(fault.Key + " ")
		}
		b.WriteString(fault.What)
		if fault.Fix != "" {
			b.WriteString("; " + fault.Fix)
		}
	}
	return b.String()
}
