package aws

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse"
)

// A listed account is an account as somebody wrote it down, and where.
type listed struct {
	id string
	AccountConfig
	place func(field, what string) gatehouse.Fault
}

// AccountList is every account, inline and from the file, sorted by name. It
// reads the file each time. An error names all that is wrong, with the line.
func (c Config) AccountList() ([]gatehouse.Account, error) {
	accounts, faults := c.accounts()
	if len(faults) == 0 {
		return accounts, nil
	}
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = fmt.Errorf("%s: %s", f.Key, f.What)
	}
	return nil, errors.Join(errs...)
}

func (c Config) accounts() ([]gatehouse.Account, []gatehouse.Fault) {
	all := c.inline()
	fromFile, faults := c.readAccountsFile()
	all = append(all, fromFile...)

	var accounts []gatehouse.Account
	seen := map[string]bool{}
	for _, l := range all {
		a, wrong := c.account(l)
		if seen[l.id] {
			wrong = append(wrong, l.place("", "account "+l.id+" is listed twice"))
		}
		seen[l.id] = true
		accounts = append(accounts, a)
		faults = append(faults, wrong...)
	}
	slices.SortFunc(accounts, func(a, b gatehouse.Account) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.ID, b.ID))
	})
	return accounts, faults
}

func (c Config) inline() []listed {
	var all []listed
	for id, a := range c.Accounts {
		all = append(all, listed{id, a, func(field, what string) gatehouse.Fault {
			return gatehouse.Fault{Key: strings.TrimSuffix("accounts."+id+"."+field, "."), What: what}
		}})
	}
	slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(a.id, b.id) })
	return all
}

// account fills in the defaults and checks the whole.
func (c Config) account(l listed) (gatehouse.Account, []gatehouse.Fault) {
	a := gatehouse.Account{
		ID:          l.id,
		Name:        cmp.Or(l.Name, l.id),
		Environment: l.Environment,
		Owner:       l.Owner,
		Colour:      l.Colour,
		Provider:    cmp.Or(l.Provider, c.Provider),
		Region:      cmp.Or(l.Region, c.Region),
		Partition:   l.Partition,
	}
	var faults []gatehouse.Fault
	wrong := func(field, what string) { faults = append(faults, l.place(field, what)) }
	if !gatehouse.AccountID.MatchString(a.ID) {
		wrong("", notAnAccount(a.ID))
	}
	for _, f := range [][2]string{{"name", a.Name}, {"environment", a.Environment}, {"owner", a.Owner}} {
		if !presentable(f[1]) {
			wrong(f[0], fmt.Sprintf("%q must be at most 128 visible characters", f[1]))
		}
	}
	if l.Colour != "" && !slices.Contains(gatehouse.Colours, l.Colour) {
		wrong("colour", fmt.Sprintf("%q is none of %s", l.Colour, strings.Join(gatehouse.Colours, ", ")))
	}
	// The default's own fault is reported once, under aws.provider and aws.region.
	if l.Provider != "" && !providerName.MatchString(l.Provider) {
		wrong("provider", notAProvider(l.Provider))
	}
	p, ok := partitionOf(a.Region)
	switch {
	case a.Region == "":
		wrong("region", "is missing, and aws.region gives no default; example: eu-west-1")
	case !ok && l.Region != "":
		wrong("region", notARegion(a.Region))
	case ok && a.Partition != "" && a.Partition != p.name:
		wrong("partition", fmt.Sprintf("%q has no region %s, which is in %s", a.Partition, a.Region, p.name))
	}
	a.Partition = cmp.Or(a.Partition, p.name)
	return a, faults
}

// What IAM takes as a SAML provider's name: IAM API Reference, CreateSAMLProvider.
var providerName = regexp.MustCompile(`^[\w.-]{1,128}$`)

func notAProvider(s string) string {
	return fmt.Sprintf("%q is no name of an IAM SAML provider: 1 to 128 letters, digits and . _ -", s)
}

func notARegion(s string) string {
	return fmt.Sprintf("%q is no region of aws, aws-us-gov or aws-cn; example: eu-west-1", s)
}

var digits = regexp.MustCompile(`^[0-9]{9,11}$`)

// notAnAccount guesses at what happened: spreadsheets take account numbers
// for numbers, drop their leading zeros and write the rest as 1.11E+11.
func notAnAccount(s string) string {
	switch {
	case digits.MatchString(s):
		return fmt.Sprintf("%q is no account: want twelve digits; did a spreadsheet drop leading zeros? try %012s", s, s)
	case strings.ContainsAny(s, "Ee") && strings.ContainsAny(s, "+.,"):
		return fmt.Sprintf("%q is no account: want twelve digits; a spreadsheet took it for a number", s)
	}
	return fmt.Sprintf("%q is no account: want twelve digits", s)
}

func presentable(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= 128 && !strings.ContainsFunc(s, unprintable)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// An accounts file of more than this is not one: 10,000 accounts need 1 MiB.
const maxAccountsFile = 8 << 20

func (c Config) readAccountsFile() ([]listed, []gatehouse.Fault) {
	if c.AccountsFile == "" {
		return nil, nil
	}
	body, err := gatehouse.ReadFile(c.AccountsFile, 2*maxAccountsFile) // a little too much has words of its own
	if err != nil {
		return nil, []gatehouse.Fault{gatehouse.FaultOf("accounts_file", err)}
	}
	return readAccounts(filepath.Base(c.AccountsFile), body)
}

// The columns of an accounts file, and where each goes.
var columns = map[string]func(*listed) *string{
	"id":          func(l *listed) *string { return &l.id },
	"name":        func(l *listed) *string { return &l.Name },
	"environment": func(l *listed) *string { return &l.Environment },
	"owner":       func(l *listed) *string { return &l.Owner },
	"colour":      func(l *listed) *string { return &l.Colour },
	"provider":    func(l *listed) *string { return &l.Provider },
	"region":      func(l *listed) *string { return &l.Region },
	"partition":   func(l *listed) *string { return &l.Partition },
}

// columnNames are the columns, for people.
const columnNames = "id,name,environment,owner,colour,provider,region,partition"

// readAccounts reads a CSV file (RFC 4180) whose first line names its columns.
// What spreadsheets do is let pass: a byte order mark, CRLF, and semicolons
// where a comma is the decimal sign.
func readAccounts(file string, body []byte) ([]listed, []gatehouse.Fault) {
	at := func(line int) func(field, what string) gatehouse.Fault {
		return func(field, what string) gatehouse.Fault {
			return gatehouse.Fault{Key: "accounts_file",
				What: strings.ReplaceAll(fmt.Sprintf("%s line %d: %s %s", file, line, field, what), "  ", " ")}
		}
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	switch {
	case len(body) > maxAccountsFile:
		return nil, []gatehouse.Fault{at(1)("", "the file is larger than 8 MiB")}
	case !utf8.Valid(body):
		return nil, []gatehouse.Fault{at(1)("", "the file is not UTF-8; save it as CSV UTF-8")}
	}
	r := csv.NewReader(bytes.NewReader(body))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	if head, _, _ := bytes.Cut(body, []byte("\n")); bytes.Contains(head, []byte(";")) && !bytes.Contains(head, []byte(",")) {
		r.Comma = ';'
	}
	header, faults := readHeader(r, at)
	if len(faults) > 0 {
		return nil, faults
	}
	return readRows(r, header, at)
}

type placer func(line int) func(field, what string) gatehouse.Fault

func readHeader(r *csv.Reader, at placer) ([]string, []gatehouse.Fault) {
	header, err := r.Read()
	if err != nil {
		return nil, []gatehouse.Fault{at(1)("", "no header: want "+columnNames)}
	}
	var faults []gatehouse.Fault
	for i, name := range header {
		header[i] = strings.ToLower(strings.TrimSpace(name))
		if columns[header[i]] == nil {
			faults = append(faults, at(1)("", fmt.Sprintf("unknown column %q: want %s", name, columnNames)))
		} else if slices.Contains(header[:i], header[i]) {
			faults = append(faults, at(1)("", fmt.Sprintf("column %q comes twice", name)))
		}
	}
	if !slices.Contains(header, "id") {
		faults = append(faults, at(1)("", "no column id: want "+columnNames))
	}
	return header, faults
}

func readRows(r *csv.Reader, header []string, at placer) (all []listed, faults []gatehouse.Fault) {
	for {
		row, err := r.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return all, faults
		case errors.As(err, &syntax):
			// What follows a quote gone astray cannot be told from what it quotes.
			return all, append(faults, at(syntax.StartLine)("", syntax.Err.Error()+"; nothing after it was read"))
		case err != nil:
			return all, append(faults, gatehouse.Fault{Key: "accounts_file", What: err.Error()})
		}
		line, _ := r.FieldPos(0)
		if strings.TrimSpace(strings.Join(row, "")) == "" {
			continue // spreadsheets end with rows of commas
		}
		if len(row) > len(header) {
			faults = append(faults, at(line)("", fmt.Sprintf("%d fields under %d columns", len(row), len(header))))
			continue
		}
		l := listed{place: at(line)}
		for i, value := range row {
			*columns[header[i]](&l) = strings.TrimSpace(value)
		}
		all = append(all, l)
	}
}
