package ssoapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/delegate"
	"gatehouse/web/inbound"
)

// bearer is the header that has the access token. nginx drops it unless it is
// told to keep underscores.
const bearer = "x-amz-sso_bearer_token"

// Credentials outlive their revocation, and a new set is one silent call
// away: so an hour, as IAM Identity Center gives by default.
const lasts = time.Hour

// errNoToken: most often a proxy has dropped it.
var errNoToken = &delegate.Refusal{Code: "invalid_token", Why: "the header " + bearer + " is missing: " +
	"if the client sent it, a proxy dropped it (nginx needs `underscores_in_headers on;`)"}

// holder is whoever sent r.
func (d *Door) holder(r *http.Request) (delegate.Holder, error) {
	token := r.Header.Get(bearer)
	if token == "" {
		return delegate.Holder{}, errNoToken
	}
	return d.keeper.Check(r.Context(), gatehouse.Secret(token))
}

// welcome is holder, with their person read again when that is due.
func (d *Door) welcome(r *http.Request) (delegate.Holder, error) {
	h, err := d.holder(r)
	if err != nil {
		return h, err
	}
	return d.keeper.Welcome(r.Context(), h, inbound.IP(r), inbound.ID(r))
}

type accountInfo struct {
	AccountID    string `json:"accountId"`
	AccountName  string `json:"accountName"`
	EmailAddress string `json:"emailAddress"`
}

type accountsOutput struct {
	AccountList []accountInfo `json:"accountList"`
	NextToken   *string       `json:"nextToken"` // null at the end: an empty one makes some clients ask for ever
}

// accounts is ListAccounts.
func (d *Door) accounts(r *http.Request) (any, error) {
	h, err := d.welcome(r)
	if err != nil {
		return nil, err
	}
	var list []accountInfo
	seen := map[string]bool{}
	for _, e := range d.usable(h) {
		if a := e.Account; !seen[a.ID] {
			seen[a.ID] = true
			list = append(list, accountInfo{AccountID: a.ID, AccountName: cmp.Or(a.Name, a.ID), EmailAddress: address(a.Owner)})
		}
	}
	slices.SortFunc(list, func(a, b accountInfo) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.AccountName), strings.ToLower(b.AccountName)), strings.Compare(a.AccountID, b.AccountID))
	})
	part, next, err := page(r, list)
	return accountsOutput{part, next}, err
}

// address is an account's owner where that is a mail address.
func address(owner string) string {
	if a, err := mail.ParseAddress(owner); err == nil {
		return a.Address
	}
	return ""
}

// usable are the roles that can be handed out.
func (d *Door) usable(h delegate.Holder) []gatehouse.Entitlement {
	return slices.DeleteFunc(slices.Clone(d.broker.Entitlements(h.Session)), func(e gatehouse.Entitlement) bool { return e.Blocked != "" })
}

type roleInfo struct {
	RoleName  string `json:"roleName"`
	AccountID string `json:"accountId"`
}

type rolesOutput struct {
	RoleList  []roleInfo `json:"roleList"`
	NextToken *string    `json:"nextToken"`
}

// roles is ListAccountRoles.
func (d *Door) roles(r *http.Request) (any, error) {
	h, err := d.welcome(r)
	if err != nil {
		return nil, err
	}
	account := r.URL.Query().Get("account_id")
	if !gatehouse.AccountID.MatchString(account) {
		return nil, &gatehouse.Invalid{Field: "account_id", Why: "Want twelve digits."}
	}
	var list []roleInfo
	for _, e := range d.usable(h) {
		if e.Account.ID == account {
			list = append(list, roleInfo{RoleName: e.Role.Name, AccountID: account})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("account %s: %w", account, gatehouse.ErrNotEntitled)
	}
	slices.SortFunc(list, func(a, b roleInfo) int { return strings.Compare(a.RoleName, b.RoleName) })
	part, next, err := page(r, list)
	return rolesOutput{part, next}, err
}

// everything is a list of our own, for `gatehouse config`: what a person needs
// to write ~/.aws/config, which AWS's operations do not tell.
type everything struct {
	Roles       []place `json:"roles"`
	Region      string  `json:"region"`
	STSEndpoint string  `json:"stsEndpoint"`
	Profiles    string  `json:"profiles"` // how they are named
}

type place struct {
	AccountID   string `json:"accountId"`
	AccountName string `json:"accountName"`
	Environment string `json:"environment"`
	RoleName    string `json:"roleName"`
	Region      string `json:"region"`
}

func (d *Door) everything(r *http.Request) (any, error) {
	h, err := d.welcome(r)
	if err != nil {
		return nil, err
	}
	all := everything{Roles: []place{}, Region: d.cfg.Region, STSEndpoint: d.cfg.STSEndpoint, Profiles: d.cfg.Profiles}
	for _, e := range d.usable(h) {
		all.Roles = append(all.Roles, place{e.Account.ID, e.Account.Name, e.Account.Environment, e.Role.Name, e.Account.Region})
	}
	slices.SortStableFunc(all.Roles, func(a, b place) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.AccountName), strings.ToLower(b.AccountName)), strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.RoleName, b.RoleName))
	})
	return all, nil
}

// mostOnPage is AWS's own bound. Clients that ask for more get this much.
const mostOnPage = 100

// page is the part of list that r asks for. A token is where to go on; a list
// that changes in between may show something twice, or not.
func page[T any](r *http.Request, list []T) (part []T, next *string, err error) {
	q := r.URL.Query()
	size, from := mostOnPage, 0
	if s := q.Get("max_result"); s != "" {
		if size, err = strconv.Atoi(s); err != nil || size < 1 {
			return nil, nil, &gatehouse.Invalid{Field: "max_result", Why: "Want a number from 1 to 100."}
		}
		size = min(size, mostOnPage)
	}
	if s := q.Get("next_token"); s != "" {
		if from, err = strconv.Atoi(s); err != nil || from < 0 {
			return nil, nil, &gatehouse.Invalid{Field: "next_token", Why: "This is not a token that was given."}
		}
	}
	part = append([]T{}, list[min(from, len(list)):]...)
	if len(part) > size {
		part = part[:size]
		token := strconv.Itoa(from + size)
		next = &token
	}
	return part, next, nil
}

type credentialsOutput struct {
	RoleCredentials roleCredentials `json:"roleCredentials"`
}

type roleCredentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      int64  `json:"expiration"` // Unix milliseconds
}

// credentials is GetRoleCredentials.
func (d *Door) credentials(r *http.Request) (any, error) {
	h, err := d.welcome(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	account, role := q.Get("account_id"), q.Get("role_name")
	if !gatehouse.AccountID.MatchString(account) || !gatehouse.RoleName.MatchString(role) {
		return nil, &gatehouse.Invalid{Field: "role_name", Why: "Want the twelve digits of an account and the name of a role."}
	}
	g, err := d.broker.Grant(r.Context(), h.Session, gatehouse.Ask{Account: account, Role: role, Form: gatehouse.FormJSON, Duration: lasts,
		Shared: true, IP: inbound.IP(r), RequestID: inbound.ID(r)})
	if err != nil {
		return nil, err
	}
	c := g.Credentials
	return credentialsOutput{roleCredentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey),
		SessionToken: string(c.SessionToken), Expiration: c.Expires.UnixMilli()}}, nil
}

// logout is Logout: the whole sign-in ends, with its refresh token.
func (d *Door) logout(r *http.Request) (any, error) {
	h, err := d.holder(r)
	if err != nil {
		return nil, err
	}
	return nil, d.keeper.SignOut(r.Context(), h)
}

// portal are the errors of sso. Only a token that is over is a 401: clients
// then tell the person to sign in again.
func portal(err error) failure {
	var (
		refusal *delegate.Refusal
		invalid *gatehouse.Invalid
		aws     *gatehouse.Refusal
	)
	switch {
	case errors.As(err, &refusal):
		return failure{status: http.StatusUnauthorized, kind: "Unauthorized", message: refusal.Why}
	case errors.Is(err, gatehouse.ErrNoSession):
		return failure{status: http.StatusUnauthorized, kind: "Unauthorized", message: "you may not sign in any more"}
	case errors.Is(err, gatehouse.ErrNotEntitled):
		return failure{status: http.StatusForbidden, kind: "Forbidden", message: "No access: none of your groups gives you this role"}
	case errors.As(err, &aws):
		return failure{status: http.StatusBadRequest, kind: "InvalidRequest", message: "AWS " + aws.Service + " refused the role (" + aws.Code + "): " + aws.Cause}
	case errors.As(err, &invalid):
		return failure{status: http.StatusBadRequest, kind: "InvalidRequest", message: invalid.Field + ": " + invalid.Why}
	case errors.Is(err, gatehouse.ErrThrottled):
		return failure{status: http.StatusTooManyRequests, kind: "TooManyRequests", message: "too many requests"}
	case errors.Is(err, errNowhere):
		return failure{status: http.StatusNotFound, kind: "ResourceNotFound", message: "there is no such operation"}
	case errors.Is(err, gatehouse.ErrUnavailable), errors.Is(err, gatehouse.ErrNotRecorded), errors.Is(err, context.DeadlineExceeded):
		return failure{status: http.StatusServiceUnavailable, kind: "ServiceUnavailable", message: "Gatehouse lacks something that it needs; try again in a minute"}
	}
	return failure{status: http.StatusInternalServerError, kind: "InternalServer", message: "something went wrong here"}
}
