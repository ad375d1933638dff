package cloud

import (
	"sync"
	"time"
)

// bucket bounds the rate of requests. It runs on real time whatever
// Config.Now says: it protects this process, not the story it tells.
type bucket struct {
	mu        sync.Mutex
	perSecond float64
	most      float64
	have      float64
	at        time.Time
}

func newBucket(perSecond, most float64) *bucket {
	return &bucket{perSecond: perSecond, most: most, have: most, at: time.Now()}
}

func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.have = min(b.most, b.have+now.Sub(b.at).Seconds()*b.perSecond)
	b.at = now
	if b.have < 1 {
		return false
	}
	b.have--
	return true
}
