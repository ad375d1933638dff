package export

import (
	_ "embed"
	"errors"
	"regexp"
	"strings"

	"gatehouse"
)

// PickupForms are the forms that a terminal can fetch by one line.
var PickupForms = []gatehouse.Form{gatehouse.FormBash, gatehouse.FormFish, gatehouse.FormPowerShell, gatehouse.FormCmd, gatehouse.FormINI}

// What a pickup line is made of. Both come from us; they are looked at all the
// same, since the line is to be run.
var (
	pickupCode = regexp.MustCompile(`^[A-Z2-7]{16,64}$`)
	pickupURL  = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]-]+/pickup$`)
)

// kept is what a line for the credentials file asks for by name. It is not the
// form's own: what answers to that may be put into a file as it comes.
const kept = "file"

// PickupForm is the form that a pickup line asks for as word; empty for a word
// that no line says.
func PickupForm(word string) gatehouse.Form {
	switch f := gatehouse.Form(word); f {
	case kept:
		return gatehouse.FormINI
	case gatehouse.FormBash, gatehouse.FormFish, gatehouse.FormPowerShell, gatehouse.FormCmd:
		return f
	}
	return ""
}

// PickupLine is one line that has a terminal fetch credentials in the form f
// with a code from url, so that they touch neither clipboard nor screen. A
// fetch that fails makes the line fail: nothing else that answers in our place
// is run, since curl passes on only an answer with a good status.
//
// The line for the credentials file is the same in every shell of macOS and
// Linux: what it says between single quotes is for sh.
//
// Errors: gatehouse.ErrInvalid for a form that no line fetches.
func PickupLine(f gatehouse.Form, url, code string) (string, error) {
	if !pickupCode.MatchString(code) || !pickupURL.MatchString(url) {
		return "", errors.New("export: no code or address of a pickup")
	}
	fetch := func(as, url string) string { return "curl -fsS -m 30 -d as=" + as + " -d code=" + code + " " + url }
	switch f {
	case gatehouse.FormBash:
		return `eval "$(` + fetch("bash", "'"+url+"'") + ` || echo false)"`, nil
	case gatehouse.FormFish:
		return "begin; " + fetch("fish", "'"+url+"'") + "; or echo false; end | source", nil
	case gatehouse.FormPowerShell:
		return "Invoke-RestMethod -Method Post -TimeoutSec 30 -Body @{as='powershell';code='" + code + "'} '" + url + "' | Invoke-Expression", nil
	case gatehouse.FormCmd:
		// Between quotes, for /f leaves = and & alone.
		return `for /f "delims=" %i in ('curl -fsS -m 30 -d "as=cmd&code=` + code + `" "` + url + `"') do @%i`, nil
	case gatehouse.FormINI:
		return `sh -c 'eval "$(` + fetch(kept, `"`+url+`"`) + ` || echo false)"'`, nil
	}
	return "", noPickup()
}

func noPickup() error {
	return &gatehouse.Invalid{Field: "as", Why: "Choose one of bash, fish, powershell, cmd and ini."}
}

// keep puts a section into the credentials file, for a POSIX shell.
//
//go:embed keep.sh
var keep string

// Pickup writes c as a pickup line takes it: what Render writes, where a shell
// runs that; for the credentials file a script that puts the profile's section
// in place of an older one of that name, or at the end. All else of the file
// stays as it is, byte for byte; it is replaced as a whole and readable by its
// owner alone.
//
// Errors: as Render.
func Pickup(f gatehouse.Form, c gatehouse.Credentials, o Options) (Text, error) {
	t, err := Render(f, c, o)
	if err != nil || f != gatehouse.FormINI {
		return t, err
	}
	// A profile's name needs no quotes, and no value is a line of its own.
	t.Body = strings.NewReplacer("$profile", o.Profile, "SECTION\n", t.Body).Replace(keep)
	return t, nil
}

// untold is what a refusal may not say: whatever any of the shells reads as
// more than text.
var untold = regexp.MustCompile(`[^A-Za-z0-9 .,:/-]+`)

// Refusal is one line that says why there are no credentials.
func Refusal(text string) string {
	return "gatehouse: " + strings.Join(strings.Fields(untold.ReplaceAllString(text, " ")), " ")
}

// PickupRefusal is what a pickup line runs when there are no credentials: it
// says one line on the standard error, and fails. ok is false for a form that
// no line runs, where a refusal has to be a status.
func PickupRefusal(f gatehouse.Form, text string) (script string, ok bool) {
	text = Refusal(text)
	switch f {
	case gatehouse.FormBash, gatehouse.FormFish, gatehouse.FormINI:
		return "echo '" + text + "' >&2; false\n", true
	case gatehouse.FormPowerShell:
		return "throw '" + text + "'\n", true
	case gatehouse.FormCmd:
		return "echo " + text + " 1>&2& cmd /c exit 1\r\n", true
	}
	return text + "\n", false
}
