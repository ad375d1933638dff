package export

import (
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

// PickupLine is one line that has a terminal fetch credentials in the form f
// with a code from url, so that they touch neither clipboard nor screen. A
// fetch that fails makes the line fail: nothing else that answers in our place
// is run, since curl passes on only an answer with a good status.
//
// Errors: gatehouse.ErrInvalid for a form that no line fetches.
func PickupLine(f gatehouse.Form, url, code string) (string, error) {
	if !pickupCode.MatchString(code) || !pickupURL.MatchString(url) {
		return "", errors.New("export: no code or address of a pickup")
	}
	fetch := "curl -fsS -m 30 -d as=" + string(f) + " -d code=" + code + " '" + url + "'"
	switch f {
	case gatehouse.FormBash:
		return `eval "$(` + fetch + ` || echo false)"`, nil
	case gatehouse.FormFish:
		return "begin; " + fetch + "; or echo false; end | source", nil
	case gatehouse.FormPowerShell:
		return "Invoke-RestMethod -Method Post -TimeoutSec 30 -Body @{as='powershell';code='" + code + "'} '" + url + "' | Invoke-Expression", nil
	case gatehouse.FormCmd:
		// Between quotes, for /f leaves = and & alone.
		return `for /f "delims=" %i in ('curl -fsS -m 30 -d "as=cmd&code=` + code + `" "` + url + `"') do @%i`, nil
	case gatehouse.FormINI:
		return fetch + " >> ~/.aws/credentials", nil
	}
	return "", noPickup()
}

func noPickup() error {
	return &gatehouse.Invalid{Field: "as", Why: "Choose one of bash, fish, powershell, cmd and ini."}
}

// told is what a refusal may say: nothing that any of the shells reads as more
// than text.
var untold = regexp.MustCompile(`[^A-Za-z0-9 .,:/-]+`)

// PickupRefusal is what a pickup line runs when there are no credentials: it
// says one line on the standard error, and fails. ok is false for a form that
// is not run but kept, where a refusal has to be a status.
func PickupRefusal(f gatehouse.Form, text string) (script string, ok bool) {
	text = "gatehouse: " + strings.Join(strings.Fields(untold.ReplaceAllString(text, " ")), " ")
	switch f {
	case gatehouse.FormBash, gatehouse.FormFish:
		return "echo '" + text + "' >&2; false\n", true
	case gatehouse.FormPowerShell:
		return "throw '" + text + "'\n", true
	case gatehouse.FormCmd:
		return "echo " + text + " 1>&2& cmd /c exit 1\r\n", true
	}
	return text + "\n", false
}
