package web

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

// What people read stands in three places, so that another language can
// follow: in templates/, which hold the words of the scripts as well
// (data-say-…); in problem.go, what is said of failures; and here, all else
// that a page or a file says. Two kinds of text are neither: what operators
// write or read (configuration, `gatehouse check`), and why a room of ours
// refuses something, which it says itself (gatehouse.Invalid, Refusal and
// PasswordRefused), since only it knows.

// whomToAsk is the default of portal.support.
const whomToAsk = "your platform team"

// signInSays is what the sign-in page says of how somebody came there, by the
// address's `said`. A sign-in lasts for most at most.
func signInSays(said string, most time.Duration) string {
	switch said {
	case "out":
		return "You are signed out."
	case "partly":
		return "You are signed out here. An application may still have you signed in: close the browser to be sure."
	case "kept":
		return "You are signed out in this browser. The sign-in itself could not be ended: the record store takes no changes just now. " +
			"A copy of its cookie counts until it ends by itself, at most " + inWords(most) + " after it began. " +
			"To end it sooner, sign in later and end it under My sign-ins. Close the browser if an application had you signed in."
	case "changed":
		return "Your password is changed. Sign in with the new one."
	case "changed-only":
		return "Your password is changed. Sign in with the new one. Not all of your earlier sign-ins could be ended: look at My sign-ins, and end what should not go on."
	}
	return ""
}

const signInAgain = "Sign in again to confirm that it is you."

// browsers and systems are the words by which browsers and command-line
// clients are known. The order counts: see agentOf.
var (
	browsers = []product{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
		{"saml2aws/", "saml2aws"}, {"curl/", "curl"},
	}
	systems = []product{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
		{"Mac OS X", "macOS"}, {"darwin", "macOS"}, {"Linux", "Linux"}, {"linux", "Linux"},
	}
)

// browserName is what a browser is called among a person's sign-ins.
func browserName(a agent, here bool) string {
	name := a.Browser
	if a.System != "" {
		name = cmp.Or(name, "A browser") + " on " + a.System
	}
	switch {
	case here && name == "":
		return "This browser"
	case here:
		return "This browser, " + name
	}
	return cmp.Or(name, "Another browser")
}

// endings are what was just ended, by the address's `said`.
var endings = map[string]string{
	"one": "That sign-in is ended.", "others": "All other sign-ins in browsers are ended.",
	"known": "Good: that place is yours.",
	"ended": "Ended. What that program was handed before lasts until it expires, at most an hour.",
}

// kinds says what a person may want to know of the name that they have at an
// application.
var kinds = map[string]string{
	"persistent":   "A name that no other application has, the same at every sign-in.",
	"transient":    "A name for this session only.",
	"emailAddress": "Your mail address.",
}

const toldNothing = "It is told nothing, and cannot be opened."

// Why something on a form is not possible.
const (
	whyForm     = "Choose a console or one of the forms on the role's page."
	whyLine     = "Choose one of bash, fish, powershell, cmd and ini."
	whyRegion   = "Write the region as AWS does, for example eu-west-1."
	whyDuration = "Choose between 15 minutes and 12 hours."
	whyConfirm  = "Tick the box that says that you mean this account."
	whyBefore   = "This is no point in time. Begin with the newest entries."
	whyAnswer   = "Choose one of the two buttons."
	whyStar     = "Choose an account or an application on the list."
	whyUnticked = "Tick at least one role."
)

func whyTooMany(most int) string { return fmt.Sprintf("Tick at most %d roles at a time.", most) }

// What buttons do, and where a page leads that leaves us.
const (
	tryAgain    = "Try again"
	toSignIn    = "To the sign-in page"
	takeKeys    = "Take the keys"
	openConsole = "Open the console"
	toConsole   = "the AWS console"
	toProgram   = "your program"
)

// Titles of the portal's sections.
const (
	favouritesTitle = "Favourites"
	recentTitle     = "Recent"
	mostUsedTitle   = "Most used"
	othersTitle     = "Other accounts"
)

// suggestions are regions that the region field offers; any other may be
// typed (AWS Regions and Availability Zones, "Available Regions").
var suggestions = []region{
	{"af-south-1", "Cape Town"}, {"ap-east-1", "Hong Kong"}, {"ap-northeast-1", "Tokyo"}, {"ap-northeast-2", "Seoul"}, {"ap-northeast-3", "Osaka"},
	{"ap-south-1", "Mumbai"}, {"ap-south-2", "Hyderabad"}, {"ap-southeast-1", "Singapore"}, {"ap-southeast-2", "Sydney"}, {"ap-southeast-3", "Jakarta"},
	{"ap-southeast-4", "Melbourne"}, {"ca-central-1", "Central Canada"}, {"ca-west-1", "Calgary"}, {"eu-central-1", "Frankfurt"}, {"eu-central-2", "Zurich"},
	{"eu-north-1", "Stockholm"}, {"eu-south-1", "Milan"}, {"eu-south-2", "Spain"}, {"eu-west-1", "Ireland"}, {"eu-west-2", "London"}, {"eu-west-3", "Paris"},
	{"il-central-1", "Tel Aviv"}, {"me-central-1", "United Arab Emirates"}, {"me-south-1", "Bahrain"}, {"sa-east-1", "São Paulo"}, {"us-east-1", "N. Virginia"},
	{"us-east-2", "Ohio"}, {"us-west-1", "N. California"}, {"us-west-2", "Oregon"},
}

// textForms are the forms of credentials as text, under the words that AWS's
// own portal uses: many an internal wiki names them.
var textForms = []textForm{
	{gatehouse.FormBash, "macOS and Linux", "Option 1: Set AWS environment variables"},
	{gatehouse.FormFish, "fish", "Option 1: Set AWS environment variables"},
	{gatehouse.FormPowerShell, "PowerShell", "Option 1: Set AWS environment variables"},
	{gatehouse.FormCmd, "Windows cmd", "Option 1: Set AWS environment variables"},
	{gatehouse.FormINI, "Credentials file", "Option 2: Add a profile to your AWS credentials file"},
	{gatehouse.FormEnv, ".env", "Option 3: Use individual values in your AWS service client"},
	{gatehouse.FormJSON, "JSON", "The output of a credential_process"},
}

// formWords are what the forms are called in a sentence.
var formWords = map[gatehouse.Form]string{
	gatehouse.FormConsole: "Console", gatehouse.FormPost: "Console, by the browser itself", gatehouse.FormBash: "Keys for bash", gatehouse.FormFish: "Keys for fish",
	gatehouse.FormPowerShell: "Keys for PowerShell", gatehouse.FormCmd: "Keys for Windows cmd", gatehouse.FormINI: "Keys in a credentials file",
	gatehouse.FormEnv: "Keys in an .env file", gatehouse.FormJSON: "Keys as JSON",
}

// refusals are the record's words for why nothing was handed out.
var refusals = map[string]string{
	"not_entitled": "you did not have the role", "answered_before": "the application's request was answered already", "invalid": "something in the request was not possible", "refused_by_aws": "AWS refused",
	"unavailable": "something that is needed did not answer", "no_session": "the sign-in was over",
}

const refusedSomehow = "it could not be done"

// count is n things: 1 role, 31 roles.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// inWords is a duration as people say it: 1 hour, 90 minutes, 1 hour 5 minutes.
func inWords(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, sec := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	var parts []string
	for _, p := range []struct {
		n    int
		unit string
	}{{h, "hour"}, {m, "minute"}, {sec, "second"}} {
		if p.n > 0 {
			parts = append(parts, count(p.n, p.unit))
		}
	}
	if len(parts) == 0 {
		return "a moment"
	}
	return strings.Join(parts, " ")
}

// heldInAll is how much somebody has.
func heldInAll(accounts, roles int) string {
	return count(accounts, "account") + ", " + count(roles, "role") + "."
}

// rolesAmong is how much a program would have.
func rolesAmong(roles, accounts int) string {
	return count(roles, "role") + " in " + count(accounts, "account")
}

// stillGood leads to the time that the first of them ends at.
func stillGood(roles int) string {
	if roles == 1 {
		return "Keys of 1 role are still good, until"
	}
	return "Keys of " + count(roles, "role") + " are still good; the first end at"
}

// expiresSoon says how soon, in days, or nothing when it is not within the time.
func expiresSoon(at, now time.Time, within time.Duration) string {
	left := at.Sub(now)
	switch {
	case at.IsZero() || within == 0 || left > within:
		return ""
	case left < 24*time.Hour:
		return "today"
	}
	return "in " + count(int(left.Hours()/24), "day")
}

func groupsHint(n int) string {
	switch n {
	case 0:
		return "The directory lists you in no group."
	case 1:
		return "The directory lists you in 1 group, and it gives no role."
	}
	return "The directory lists you in " + count(n, "group") + ", and none of them gives a role."
}

// capText says why no longer duration is offered.
func capText(most time.Duration, byRole bool) string {
	switch {
	case byRole:
		return "AWS allows this role " + inWords(most) + ", as it said the last time."
	case most == longest:
		return "AWS allows at most 12 hours."
	}
	return "Your access to this role is limited to " + inWords(most) + "."
}

// loweredText says that less was granted than asked for.
func loweredText(g access.Grant) string {
	if g.LoweredFrom == 0 {
		return ""
	}
	granted := cmp.Or(g.Credentials.Lasts, g.Ask.Duration)
	return "You asked for " + inWords(g.LoweredFrom) + "; this role allows " + inWords(granted.Round(time.Second)) + "."
}

// notInFile is what the file of several roles says of one that is not in it.
func notInFile(profile string, p problem) string {
	return "no keys for " + profile + ". " + p.Title + " " + p.Cause + " Reference " + p.Reference
}

// notPickedUp is the line that a terminal shows when nothing was handed out.
func notPickedUp(p problem) string { return p.Title + " " + p.Next + " Reference " + p.Reference }

// terms are on what terms a role is had.
func terms(e gatehouse.Entitlement) (list []string) {
	list = append(list, "A hand-out lasts "+inWords(e.MaxSession)+" at most.")
	if e.Confirm {
		list = append(list, "It is handed out after one click more.")
	}
	if e.SourceIdentity != "" {
		list = append(list, "AWS sees you as "+e.SourceIdentity+".")
	}
	for _, t := range e.Tags {
		list = append(list, "AWS sees your "+t.Key+" as "+t.Value+".")
	}
	if e.Blocked != "" {
		list = append(list, e.Blocked)
	}
	return list
}

// requestText is a text for whoever can give the role.
func requestText(who gatehouse.Session, p whyPage) string {
	var b strings.Builder
	b.WriteString("Please give me " + cmp.Or(p.Role, "a role") + " in the AWS account " + p.Account.Digits)
	if p.Account.Name != p.Account.Digits {
		b.WriteString(" (" + p.Account.Name + ")")
	}
	u := who.User
	b.WriteString(".\nI am " + displayName(u) + ", " + u.Username + " in the directory " + u.Directory + ".\n")
	for i, to := range p.Would {
		b.WriteString([]string{"It is for ", "or for "}[min(i, 1)] + to + ".\n")
	}
	b.WriteString("I need it for: ")
	return b.String()
}
