package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"gatehouse"
)

// A browser in which somebody has signed in carries a mark of it: OWASP,
// "Slow Down Online Guessing Attacks with Device Cookies". Whoever guesses
// from elsewhere spends the strangers' allowance; the person's own browser
// still has its own, so that strangers cannot keep them out.
//
// A mark proves nothing about who sits there, and opens nothing: it only says
// whose allowance an attempt takes from. It is worth something for one person,
// until it is too old or their password was changed here. One that was
// forged, garbled or is somebody else's is as none. One that was stolen has
// what one browser has, which is never all of the person's allowance.

// DeviceLife is how long a browser is known after a sign-in.
const DeviceLife = 180 * 24 * time.Hour

// device is a browser's mark.
type device struct {
	id     string    // of this browser
	person string    // keyed: whose it is
	issued time.Time // to the millisecond
}

// The parts of a mark: version, id, issued (Unix milliseconds), person, and
// the keyed sum of all that.
const (
	deviceVersion = 1
	deviceBody    = 1 + 16 + 8 + 16
	deviceSize    = deviceBody + 32
)

// Device is a new mark of a browser in which the person (User.Key) has just
// proved who they are.
func (b *Broker) Device(person string) string {
	return b.throttle.keyed.newDevice(person, b.d.Now())
}

func (k keyed) newDevice(person string, now time.Time) string {
	mark := make([]byte, 17, deviceSize)
	mark[0] = deviceVersion
	rand.Read(mark[1:])
	mark = binary.BigEndian.AppendUint64(mark, uint64(now.UnixMilli()))
	mark = append(mark, k.owner(person)...)
	mark = append(mark, k.sum("device", string(mark))...)
	return base64.RawURLEncoding.EncodeToString(mark)
}

// owner stands for the person in a mark: who gets hold of one is not told.
func (k keyed) owner(person string) string { return string(k.sum("owner", person)[:16]) }

// readDevice reads a mark, if it is ours and not too old.
func (k keyed) readDevice(text string, now time.Time) (device, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(deviceSize) {
		return device{}, false
	}
	mark, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(mark) != deviceSize || mark[0] != deviceVersion || !hmac.Equal(mark[deviceBody:], k.sum("device", string(mark[:deviceBody]))) {
		return device{}, false
	}
	issued := time.UnixMilli(int64(binary.BigEndian.Uint64(mark[17:])))
	if issued.After(now.Add(skew)) || !issued.Add(DeviceLife).After(now) {
		return device{}, false
	}
	return device{id: base64.RawURLEncoding.EncodeToString(mark[1:17]), person: string(mark[25:deviceBody]), issued: issued}, true
}

// knows reports whether d is a browser of the person's. Where it cannot be
// known it is a stranger's.
func (t *throttle) knows(ctx context.Context, d device, person string) bool {
	if d.id == "" || !hmac.Equal([]byte(d.person), []byte(t.keyed.owner(person))) {
		return false
	}
	text, err := t.learnt.Learnt(ctx, "devices:"+person)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return true
	}
	since, parseErr := strconv.ParseInt(text, 10, 64)
	return err == nil && parseErr == nil && d.issued.UnixMilli() >= since
}

// renewDevices makes every mark of the person worth nothing that was made
// before now.
func (t *throttle) renewDevices(ctx context.Context, person string) error {
	now := t.now()
	return t.learnt.Learn(ctx, "devices:"+person, strconv.FormatInt(now.UnixMilli(), 10), now.Add(DeviceLife))
}
