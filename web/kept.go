package web

import (
	"bytes"
	"compress/flate"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"sync"

	"gatehouse/static"
)

// portion is a part of a page that many requests share, and the same compressed,
// so that it is made once. It holds nothing of one request: no token, no time
// and nothing that somebody typed.
type portion struct {
	plain   []byte
	deflate []byte      // a whole number of DEFLATE blocks, none of them the last
	shift   crc32Matrix // what len(plain) more bytes do to a checksum
	sum     uint32      // CRC-32 of plain
}

// kitchen keeps what was made, the least used of it going first.
type kitchen struct {
	mu    sync.Mutex
	room  int // bytes that may be kept
	used  int
	byKey map[[sha256.Size]byte]*list.Element
	order *list.List // of *dish, the last used first
}

type dish struct {
	key  [sha256.Size]byte
	cost int
	what any
}

func newKitchen(room int) *kitchen {
	return &kitchen{room: room, byKey: map[[sha256.Size]byte]*list.Element{}, order: list.New()}
}

// get is what is kept under key, or nil.
func (k *kitchen) get(key [sha256.Size]byte) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.byKey[key]
	if !ok {
		return nil
	}
	k.order.MoveToFront(e)
	return e.Value.(*dish).what
}

// put keeps what under key. What is too large for the whole room is not kept.
func (k *kitchen) put(key [sha256.Size]byte, cost int, what any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byKey[key]; ok {
		k.drop(e)
	}
	if cost > k.room {
		return
	}
	k.byKey[key] = k.order.PushFront(&dish{key, cost, what})
	k.used += cost
	for k.used > k.room {
		k.drop(k.order.Back())
	}
}

func (k *kitchen) drop(e *list.Element) {
	d := k.order.Remove(e).(*dish)
	delete(k.byKey, d.key)
	k.used -= d.cost
}

// keyOf is a key for texts that tell one thing from another.
func keyOf(parts ...[]byte) (key [sha256.Size]byte) {
	h := sha256.New()
	var length [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write(p)
	}
	h.Sum(key[:0])
	return key
}

// keep makes a part out of a page's bytes.
func keep(plain []byte) *portion {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is good
	_, _ = w.Write(plain)                              // a buffer takes everything
	_ = w.Flush()
	return &portion{plain: plain, deflate: b.Bytes(), shift: shiftBy(len(plain)), sum: crc32.ChecksumIEEE(plain)}
}

func (k *portion) cost() int { return len(k.plain) + len(k.deflate) + 256 }

// piece is a part of an answer: kept, or of this request alone.
type piece struct {
	made  *portion
	fresh []byte
}

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed)
	return w
}}

// gzipHead begins a member: no name, no time, unknown system (RFC 1952 §2.3).
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// lastBlock is an empty stored block with the mark of the last (RFC 1951 §3.2.4).
var lastBlock = []byte{1, 0, 0, 0xff, 0xff}

// gzipped joins pieces to one gzip member. Each compressed piece ends at a
// byte and refers to nothing before it, so they may stand side by side.
func gzipped(b *bytes.Buffer, pieces []piece) {
	b.Write(gzipHead)
	sum, size := uint32(0), uint32(0)
	for _, p := range pieces {
		if p.made != nil {
			b.Write(p.made.deflate)
			sum = p.made.shift.times(sum) ^ p.made.sum
			size += uint32(len(p.made.plain))
			continue
		}
		if len(p.fresh) == 0 {
			continue // to make a deflater ready costs more than most pieces
		}
		w := deflaters.Get().(*flate.Writer)
		w.Reset(b)
		_, _ = w.Write(p.fresh) // a buffer takes everything
		_ = w.Flush()
		deflaters.Put(w)
		sum = crc32.Update(sum, crc32.IEEETable, p.fresh)
		size += uint32(len(p.fresh))
	}
	b.Write(lastBlock)
	var tail [8]byte
	binary.LittleEndian.PutUint32(tail[:4], sum)
	binary.LittleEndian.PutUint32(tail[4:], size)
	b.Write(tail[:])
}

// crc32Matrix is what a number of zero bytes does to a CRC-32: a linear map
// over bits, one column each. It joins the checksums of two texts to that of
// both, without reading either again.
type crc32Matrix [32]uint32

func (m *crc32Matrix) times(v uint32) (sum uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *crc32Matrix) squared() (out crc32Matrix) {
	for i := range m {
		out[i] = m.times(m[i])
	}
	return out
}

// shiftBy is the map of n zero bytes.
func shiftBy(n int) crc32Matrix {
	var bit, all crc32Matrix
	bit[0] = crc32.IEEE
	for i := range all {
		all[i] = 1 << i
		if i > 0 {
			bit[i] = 1 << (i - 1)
		}
	}
	step := bit
	for range 3 {
		step = step.squared() // one byte
	}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			var next crc32Matrix
			for i := range all {
				next[i] = step.times(all[i])
			}
			all = next
		}
		step = step.squared()
	}
	return all
}

// writePieces answers with a page of several pieces, compressed for whom it may be.
func writePieces(w http.ResponseWriter, r *http.Request, pieces []piece) {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	defer func() {
		if b.Cap() <= largestKept {
			buffers.Put(b)
		}
	}()
	w.Header().Add("Vary", "Accept-Encoding")
	if static.TakesGzip(r) {
		gzipped(b, pieces)
		w.Header().Set("Content-Encoding", "gzip")
		write(w, http.StatusOK, htmlType, b.Bytes())
		return
	}
	for _, p := range pieces {
		b.Write(p.fresh)
		if p.made != nil {
			b.Write(p.made.plain)
		}
	}
	write(w, http.StatusOK, htmlType, b.Bytes())
}

const htmlType = "text/html; charset=utf-8"
