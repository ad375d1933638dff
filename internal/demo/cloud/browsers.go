package cloud

type browsers struct{}
type pages struct{}

func newBrowsers() *browsers         { return nil }
func parsePages() (p pages, e error) { return }
