package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/static"
)

// unzipped is the body of an answer that must be one good gzip member and no more.
func unzipped(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
		t.Fatalf("headers %v", w.Header())
	}
	rest := bytes.NewReader(w.Body.Bytes())
	z, err := gzip.NewReader(rest)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	text, err := io.ReadAll(z)
	if err != nil || rest.Len() > 0 {
		t.Fatalf("unzipping: %v, %d bytes behind it", err, rest.Len())
	}
	return string(text)
}

func TestTheKeptPageIsTheWholePage(t *testing.T) {
	for _, n := range []int{1, 26, 300, 2000} {
		h, cookie := populous(t, n)
		plain := wantStatus(t, h.get("/", cookie), 200)
		click := regexp.MustCompile(`p-[A-Z2-7]{26}`)
		for range 2 {
			w := httptest.NewRecorder()
			h.server.Handler().ServeHTTP(w, gzipAsk(cookie))
			zipped := unzipped(t, w)
			if click.ReplaceAllString(zipped, "") != click.ReplaceAllString(plain, "") {
				t.Errorf("with %d roles the compressed page is not the plain one", n)
			}
			if click.FindString(zipped) == click.FindString(plain) {
				t.Error("two pages name their clicks alike")
			}
		}
		wantLacks(t, plain, shelvesHere, listHere)
	}
}

// What somebody made a visitor type must not be compressed with what only
// the visitor may know.
func TestASearchIsNotCompressed(t *testing.T) {
	h, cookie := populous(t, 300)
	r := gzipAsk(cookie)
	r.URL.RawQuery = "q=billing"
	if res := h.do(r); res.Header.Get("Content-Encoding") != "" {
		t.Errorf("headers %v", res.Header)
	}
}

func TestOneListIsNotAnothersWhateverIsKept(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "Payments", "Sandbox")
	h.broker.entitlements = h.broker.entitlements[:2]
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "Sandbox") // what the directory said has not changed
	h.clock = h.clock.Add(heldFor)
	wantLacks(t, wantStatus(t, h.get("/", cookie), 200), "Sandbox")
	h.broker.user.ID = "0002"
	h.broker.entitlements = nil
	wantLacks(t, wantStatus(t, h.get("/", h.signIn()), 200), "Payments")
}

func TestJoinedChecksums(t *testing.T) {
	for range 50 {
		a, b := make([]byte, rand.IntN(3000)), make([]byte, rand.IntN(3000))
		for i := range a {
			a[i] = byte(rand.Uint32())
		}
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		shift := shiftBy(len(b))
		if got, want := shift.times(crc32.ChecksumIEEE(a))^crc32.ChecksumIEEE(b), crc32.ChecksumIEEE(slices.Concat(a, b)); got != want {
			t.Fatalf("joined %08x, want %08x", got, want)
		}
	}
}

func TestTheKitchenHoldsNoMoreThanItsRoom(t *testing.T) {
	k := newKitchen(100)
	for i := range 10 {
		k.put(keyOf([]byte{byte(i)}), 30, i)
		k.get(keyOf([]byte{0}))
	}
	if k.get(keyOf([]byte{0})) != 0 || k.get(keyOf([]byte{9})) != 9 || k.get(keyOf([]byte{1})) != nil || k.used > 100 || k.order.Len() != 3 {
		t.Errorf("%d bytes, %d things", k.used, k.order.Len())
	}
	k.put(keyOf([]byte{20}), 101, "too large")
	if k.get(keyOf([]byte{20})) != nil || k.order.Len() != 3 {
		t.Error("what is larger than the room is kept, or drove the others out")
	}
	if keyOf([]byte("a"), []byte("b")) == keyOf([]byte("ab"), nil) {
		t.Error("two lists of texts have one key")
	}
}

// shelvesOf are the shelves that a page shows, with what is on them.
func shelvesOf(page string) string {
	var list []string
	for _, part := range strings.Split(page, `<section class="group`)[1:] {
		name := regexp.MustCompile(`^ shelf" data-shelf="(\w+)">`).FindStringSubmatch(part)
		if name == nil {
			continue
		}
		text := name[1] + ":"
		for _, row := range strings.Split(part, "<li ")[1:] {
			text += " " + regexp.MustCompile(`<h3><bdi>([^<]*)`).FindStringSubmatch(row)[1]
			for _, m := range regexp.MustCompile(`formaction="/roles/\d+/([^"]*)"`).FindAllStringSubmatch(row, -1) {
				text += "/" + m[1]
			}
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func TestShelves(t *testing.T) {
	h := newHouse(t)
	h.broker.entitlements = manyRoles(30)
	cookie := h.signIn()
	take := func(account, role string, times int) {
		for range times {
			h.clock = h.clock.Add(time.Second)
			wantStatus(t, h.post("/roles/"+account+"/"+role, cookie, url.Values{"as": {"bash"}}), 200)
		}
	}
	if got := shelvesOf(wantStatus(t, h.get("/", cookie), 200)); got != "" {
		t.Errorf("at first there is %q", got)
	}
	take("100000000001", "Admin", 4)
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "Keys of 1 role are still good, until <time ")
	h.clock = h.clock.Add(30 * time.Second)
	for i := range 5 {
		take(fmt.Sprint(100000000002+i), "ReadOnly", 1)
	}
	take("100000000002", "Developer", 1)
	wantStatus(t, h.post("/me/favourites", cookie, url.Values{"star": {"100000000009"}}), 303)
	page := wantStatus(t, h.get("/", cookie), 200)
	want := "favourites: Team 009/ReadOnly/Developer/Admin; recent: Team 002/Developer Team 006/ReadOnly Team 005/ReadOnly Team 004/ReadOnly Team 003/ReadOnly; most: Team 001/Admin"
	if got := shelvesOf(page); got != want {
		t.Errorf("shelves\n%s\nwant\n%s", got, want)
	}
	wantContains(t, page, "Keys of 7 roles are still good; the first end at <time ")
	h.broker.entitlements = manyRoles(3)
	h.clock = h.clock.Add(heldFor)
	if got := shelvesOf(wantStatus(t, h.get("/", cookie), 200)); got != "" {
		t.Errorf("roles that are gone, or so few, are on %q", got)
	}
}

func TestMostUsedForgetsSlowly(t *testing.T) {
	uses := map[string]use{}
	now := start
	take := func(key string, times int) {
		for range times {
			uses[key] = uses[key].once(taken{key: key}, now)
		}
	}
	take("111122223333/ReadOnly", 8)
	now = now.Add(8 * 7 * 24 * time.Hour)
	take("444455556666/PowerUser", 3)
	if old, young := uses["111122223333/ReadOnly"].weight(now), uses["444455556666/PowerUser"].weight(now); old > 0.6 || young < 2.9 {
		t.Errorf("eight times two months ago weigh %.2f, three times now %.2f", old, young)
	}
	for i := range 2 * mostUses {
		now = now.Add(time.Minute)
		take(fmt.Sprint(i), 1)
	}
	if left := newest(uses); len(left) != mostUses || left["111122223333/ReadOnly"].Count != 0 {
		t.Errorf("%d uses are kept", len(left))
	}
}

func TestFavourites(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	list := func() string { return string(h.people.rows["corp/0001"][favouritesKey]) }
	star := func(name, id string) *http.Response { return h.post("/me/favourites", cookie, url.Values{name: {id}}) }

	wantStatus(t, h.post("/me/favourites", "", url.Values{"star": {"111122223333"}}), 303)
	if list() != "" {
		t.Fatal("somebody who is not signed in has a favourite")
	}
	wantStatus(t, star("star", `<script>`), 400)
	wantStatus(t, star("", "111122223333"), 400)
	for range 2 { // twice is once
		wantStatus(t, star("star", "111122223333"), 303)
	}
	page := wantStatus(t, h.get("/", cookie), 200)
	wantContains(t, page, `name="unstar" value="111122223333" aria-pressed="true"`, `name="star" value="444455556666" aria-pressed="false"`)
	if list() != `["111122223333"]` {
		t.Errorf("kept is %s", list())
	}
	h.people.race = func() { h.people.rows["corp/0001"][favouritesKey] = []byte(`["111122223333","999999999999"]`) }
	r := request("POST", "/me/favourites", cookie, url.Values{"star": {"444455556666"}})
	r.Header.Set("Accept", "application/json")
	var told struct{ Favourites []string }
	if err := json.Unmarshal([]byte(wantStatus(t, h.do(r), 200)), &told); err != nil || !slices.Equal(told.Favourites, []string{"111122223333", "999999999999", "444455556666"}) {
		t.Errorf("after a change in another tab: %v, %v", told, err)
	}
	wantStatus(t, star("unstar", "111122223333"), 303)
	wantStatus(t, star("unstar", "999999999999"), 303)
	if list() != `["444455556666"]` {
		t.Errorf("kept is %s", list())
	}
	for i := range 2 * mostFavourites {
		star("star", fmt.Sprintf("%012d", i))
	}
	if n := strings.Count(list(), ","); n != mostFavourites-1 {
		t.Errorf("%d favourites are kept", n+1)
	}
}

func TestAPortalWithoutItsMemoryStillWorks(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.people.rows["corp/0001"] = map[string][]byte{favouritesKey: []byte(`{"not":"a list"}`), usesKey: []byte(`null`)}
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "Payments")
	wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"bash"}}), 200)
	h.people.err = &gatehouse.Unavailable{What: "store", Err: errors.New("down")}
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "Payments")
	wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"bash"}}), 200)
	wantStatus(t, h.post("/me/favourites", cookie, url.Values{"star": {"111122223333"}}), 503)
	wantContains(t, h.logs.String(), "preferences not read", "use not remembered")
}

func TestAssetsAreCompressedForWhomTheyMayBe(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"gatehouse.css", "portal.js"} {
		plain := h.get(static.Path(name), "")
		r := request("GET", static.Path(name), "", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		h.server.Handler().ServeHTTP(w, r)
		if plain.Header.Get("Content-Encoding") != "" || unzipped(t, w) != wantStatus(t, plain, 200) || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v, %v", name, plain.Header, w.Header())
		}
	}
}
