package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// keyed makes marks that mean something to whoever has the key, which all
// replicas share, and nothing to anybody else: not to somebody with a copy of
// the database, who could try every likely password on a plain hash.
type keyed []byte

// mac is the mark of some texts for one purpose. Texts keep their bounds, so
// that what is moved from one to the next makes another mark.
func (k keyed) mac(purpose string, texts ...string) string {
	return hex.EncodeToString(k.sum(purpose, texts...))
}

func (k keyed) sum(purpose string, texts ...string) []byte {
	h := hmac.New(sha256.New, k)
	for _, s := range append([]string{purpose}, texts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}
