# make test   installs what the tests need, where it may, and runs everything
# make quick  what a machine with only Go can run
# make build  the one static binary, in bin/

SHELL := /bin/bash -o pipefail
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0
FUZZTIME ?= 4s

.PHONY: test quick build tools lint vuln fuzz race bench

test: tools lint vuln fuzz race

quick:
	go vet ./...
	go test ./...

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/gatehouse ./cmd/gatehouse

tools:
	.ci/install

lint:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt would change: $$bad"; exit 1; }
	go mod verify >/dev/null
	go vet ./...
	go run $(STATICCHECK) ./...
	for os in darwin windows; do CGO_ENABLED=0 GOOS=$$os go build -o /dev/null ./cmd/gatehouse || exit 1; done

# The public database, or the copy that GATEHOUSE_VULNDB names (file:///...).
vuln:
	@if [ -n "$$GATEHOUSE_VULNDB" ]; then go run $(GOVULNCHECK) -db "$$GATEHOUSE_VULNDB" ./...; \
	else echo "govulncheck: skipped: GATEHOUSE_VULNDB names no database"; fi

fuzz:
	.ci/fuzz $(FUZZTIME)

race:
	GATEHOUSE_TEST_REQUIRE=1 go test -race -timeout 20m -json ./... | go run ./internal/outside/tally

bench:
	go test -run '^$$' -bench . -benchmem ./...
