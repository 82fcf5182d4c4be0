# Two commands are enough on a fresh machine: `make run` and `make test`.

GO        ?= go
TOOL       = $(GO) tool -modfile=tools/go.mod
PACKAGES   = ./...
# What is tested a second time under the race detector: all of it by `make race`,
# and by `make test` the part where most runs at once.
RACED      = ./internal/... ./cmd/...
RACEDFAST  = ./internal/live ./internal/serve ./internal/blob ./internal/node ./internal/kv/memkv
FUZZTIME  ?= 10s
# What the program says of itself: the tag, if there is one; the commit is added by go.
VERSION   ?= $(shell git describe --tags --dirty 2>/dev/null)

export HOLDFAST_CORPORA ?= $(CURDIR)/.cache/corpora
export HOLDFAST_TOOLS   ?= $(CURDIR)/.cache/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build, and show the main job: two nodes, two releases of a site
	./bin/holdfast demo

.PHONY: build
build: ## build bin/holdfast, without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/holdfast ./cmd/holdfast

.PHONY: install-deps
install-deps: ## install what the tests need: browser, servers, real builds
	test/install.sh

.PHONY: test
test: install-deps ## install what the tests need, run them all, list the slowest
	$(GO) test -tags version2 ./examples/webapp
	$(GO) test -race -timeout 20m $(RACEDFAST)
	$(GO) run ./test/times -timeout 20m $(PACKAGES)

.PHONY: race
race: install-deps ## run the tests under the race detector
	$(GO) test -race -timeout 30m $(RACED)

.PHONY: check
check: lint vulncheck race ## everything that must be green before a change is done

.PHONY: lint
lint: lint-fast ## all static checks
	$(TOOL) golangci-lint run

.PHONY: lint-fast
lint-fast: ## format, vet, staticcheck, import law, size budgets, plain words
	@unformatted="$$($(TOOL) gofumpt -l . )"; \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PACKAGES)
	$(TOOL) staticcheck $(PACKAGES)
	$(GO) test ./internal/archtest

.PHONY: docs
docs: ## write docs/reference.md from the program, and the help texts that tests compare with
	$(GO) test ./cmd/holdfast -run 'TestReference|TestHelpTexts' -count 1 -update

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities, where the database can be reached
	@out="$$(timeout 120 $(TOOL) govulncheck $(PACKAGES) 2>&1)"; code=$$?; \
	if [ $$code -eq 124 ] || { [ $$code -eq 1 ] && echo "$$out" | grep -q '^govulncheck: fetching vulnerabilities: '; }; \
	then echo "govulncheck: skipped (database out of reach)"; \
	else echo "$$out"; exit $$code; fi

.PHONY: fmt
fmt: ## format the code
	$(TOOL) gofumpt -w .

# A peer of the benchmarks, at the version that they name.
$(HOLDFAST_TOOLS)/caddy: bench/asset_test.go
	GOBIN=$(HOLDFAST_TOOLS) $(GO) install "github.com/caddyserver/caddy/v2/cmd/caddy@$$(sed -n 's/^const caddy = "\(.*\)"/\1/p' $<)"
	touch $@

.PHONY: bench
bench: $(HOLDFAST_TOOLS)/caddy ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./bench ./internal/serve ./internal/live ./internal/blob

.PHONY: bench-quick
bench-quick: build ## compare with nginx, lighttpd and h2o: CPU time a request, in four minutes
	bench/install.sh
	$(GO) run ./bench/peers -rounds 3 -length 1s

.PHONY: fuzz
fuzz: ## fuzz each parser for FUZZTIME (10s)
	@set -e; for dir in $$($(GO) list -f '{{.Dir}}' $(PACKAGES)); do \
	  for target in $$(cat $$dir/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
	    echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
	  done; done

.PHONY: soak
soak: install-deps ## the long runs: of state machines, under faults, of floods
	HOLDFAST_SOAK=1 $(GO) test -timeout 6h -count 1 -parallel 16 ./internal/registry ./internal/kv/... ./test/cluster
	HOLDFAST_SOAK=1 $(GO) test -timeout 6h -count 1 -v -run 'TestSchedules|TestMillion' ./internal/prune
	HOLDFAST_SOAK=1h $(GO) test -timeout 6h -count 1 -v -run 'TestSoak|TestKilledPrune' ./test/lifecycle
	$(GO) test -timeout 6h -rapid.checks=20000 ./internal/live
	$(GO) test -timeout 6h -run TestHistories ./internal/replica -rapid.checks=20000
	$(GO) test -timeout 6h -count 20 ./internal/registry ./test/e2e

.PHONY: scale
scale: install-deps ## measure how flips spread, the tables of docs/scale.md
	HOLDFAST_SOAK=1 $(GO) test -v -count 1 -timeout 30m -run 'TestPropagation|TestSwaps' ./test/cluster

.PHONY: storage
storage: install-deps ## measure what releases cost in the store, the tables of docs/storage.md and docs/deltas.md
	HOLDFAST_STORAGE=1 $(GO) test -v -run '^$$' -bench 'Storage|Upgrade' -benchtime 1x -timeout 90m ./bench

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
