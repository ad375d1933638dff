package cloud

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// signinToken is what getSigninToken hands out: one role's session, for a
// quarter of an hour. It can be used more than once within it; whether AWS's
// can is not known, so it must be treated as a secret either way.
type signinToken struct {
	Who   identity
	Until time.Time
	Lasts time.Duration // of the console session
}

// badRequest is the sign-in endpoint's refusal: an HTML page, not JSON.
func badRequest(message string) *refusal {
	return refuse(http.StatusBadRequest, "BadRequest", message)
}

// serveFederation answers /federation?Action=… by GET and by POST.
func (s *Server) serveFederation(w http.ResponseWriter, r *http.Request) {
	s.serveSignIn(w, r, func(q *request) *refusal {
		switch q.call.Action = q.params["Action"]; q.call.Action {
		case "getSigninToken":
			return s.getSigninToken(w, q)
		case "login":
			return s.login(w, q)
		}
		q.call.Action = "federation"
		return badRequest("Invalid Action parameter")
	})
}

// serveSignIn is what all sign-in endpoints share: faults, limits, reading,
// recording, and a page for a refusal.
func (s *Server) serveSignIn(w http.ResponseWriter, r *http.Request, do func(*request) *refusal) {
	q := &request{Request: r, id: newRequestID(), now: s.now().UTC()}
	q.call = &Call{At: q.now, RequestID: q.id}
	if s.faults.strike(DoorSignIn, w, r, q.id) {
		return
	}
	var no *refusal
	if !s.web.take() {
		no = refuse(http.StatusTooManyRequests, "Throttling", "Rate exceeded")
	} else if no = q.read(w); no == nil {
		no = do(q)
	}
	s.record(q.call, no)
	if no != nil {
		s.showRefusal(w, q, no)
	}
}

// sessionParam is the Session parameter's JSON.
type sessionParam struct {
	ID    string `json:"sessionId"`
	Key   string `json:"sessionKey"`
	Token string `json:"sessionToken"`
}

// getSigninToken trades credentials of a role's session for a sign-in token
// (IAM User Guide, "Enable custom identity broker access to the AWS console").
func (s *Server) getSigninToken(w http.ResponseWriter, q *request) *refusal {
	var given sessionParam
	if json.Unmarshal([]byte(q.params["Session"]), &given) != nil {
		return badRequest("Invalid credentials parameter").because("Session is not JSON")
	}
	var who identity
	if err := s.seal.open("session", given.Token, &who); err != nil || who.AccessKeyID != given.ID ||
		!hmac.Equal([]byte(given.Key), []byte(s.seal.secretKey(given.ID))) {
		return badRequest("Invalid credentials parameter").because("not credentials of this server")
	}
	if !q.now.Before(who.Expires) {
		return badRequest("Invalid credentials parameter").because("the credentials have expired")
	}
	q.call.granted(&who, "")
	lasts, no := consoleDuration(q, &who)
	if no != nil {
		return no
	}
	q.call.Lasts = lasts
	token := s.seal.close("signin", signinToken{Who: who, Until: q.now.Add(signinTokenOK), Lasts: lasts})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"SigninToken": token})
	return nil
}

// consoleDuration is SessionDuration, or what the credentials have left.
func consoleDuration(q *request, who *identity) (time.Duration, *refusal) {
	v, sent := q.params["SessionDuration"]
	if !sent {
		return who.Expires.Sub(q.now), nil
	}
	n, err := strconv.Atoi(v)
	q.call.Asked = time.Duration(n) * time.Second
	switch {
	case err != nil || n < 900 || n > 43200:
		return 0, badRequest("Invalid SessionDuration parameter").because("%q is not 900 to 43200", v)
	case who.Chained:
		return 0, badRequest("Invalid SessionDuration parameter").because("not allowed with credentials of a chained role")
	}
	return q.call.Asked, nil
}

// login turns a sign-in token into a browser's console session.
func (s *Server) login(w http.ResponseWriter, q *request) *refusal {
	var token signinToken
	if err := s.seal.open("signin", q.params["SigninToken"], &token); err != nil || !q.now.Before(token.Until) {
		return badRequest("Invalid or expired SigninToken parameter")
	}
	q.call.granted(&token.Who, "")
	q.call.Lasts, q.call.Destination = token.Lasts, q.params["Destination"]
	target, ok := s.landing(q.params["Destination"], token.Who.Partition)
	if !ok {
		return badRequest("Invalid Destination parameter").because("not a console of partition %s", token.Who.Partition)
	}
	session := &consoleSession{id: rand.Text(), who: token.Who, expires: q.now.Add(token.Lasts),
		issuer: webURL(q.params["Issuer"]), destination: q.params["Destination"]}
	if !s.browsers.add(w, q.Request, session, s.cfg.MultiSession, q.now) {
		return refuse(http.StatusBadRequest, "AlreadySignedIn", mustLogOut)
	}
	leave(w, q.Request, target)
	return nil
}

const mustLogOut = "You must first log out before logging into a different AWS account."

// webURL is u if a person can be sent there, else nothing.
func webURL(u string) string {
	if parsed, err := url.Parse(u); err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return ""
	}
	return u
}

func leave(w http.ResponseWriter, r *http.Request, target string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// serveLogout answers /oauth?Action=logout&redirect_uri=….
func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request) {
	s.serveSignIn(w, r, func(q *request) *refusal {
		if q.call.Action = q.params["Action"]; q.call.Action != "logout" {
			q.call.Action = "oauth"
			return badRequest("Invalid Action parameter")
		}
		issuer := s.browsers.forget(w, r, q.now)
		to := q.params["redirect_uri"]
		if to == "" {
			s.show(w, http.StatusOK, "ended.html", endedPage{Title: "You are signed out", Issuer: issuer})
			return nil
		}
		target, ok := s.afterLogout(to)
		if !ok {
			return badRequest("Invalid redirect_uri parameter").because("neither AWS's nor ours")
		}
		leave(w, r, target)
		return nil
	})
}
