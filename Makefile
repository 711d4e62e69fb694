# zkctl: `make help` lists the targets.
SHELL    := /bin/bash
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
DATE     ?= $(shell date -u -d @$$(git log -1 --format=%ct 2>/dev/null || date +%s) +'%Y-%m-%d %H:%M UTC')
LDFLAGS  := -s -w -X 'main.version=$(VERSION)' -X 'main.commit=$(COMMIT)' -X 'main.date=$(DATE)'
FUZZTIME ?= 30s
DURATION ?= 60s
SEEDS    ?= 2000
HOSTS    ?= 3
INIT     ?= plain

export CGO_ENABLED ?= 0

.PHONY: help build demo test test-deps race lint e2e checker mutants nemesis bench fuzz golden cover clean simulate matrix

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/zkctl, static and stamped with its version
	go build -trimpath -ldflags "$(LDFLAGS)" -o bin/zkctl ./cmd/zkctl

demo: build ## a three-server ensemble on this machine
	bin/zkctl install -i inventory/local.yaml --yes

test: test-deps ## all tests; installs what they need when root, else says what it skips
	go test -count=1 -timeout 30m ./...

test-deps: ## what the tests need beside Go (Debian packages), when root
	@bash test/deps.sh

race: ## the packages, and servers under kills, under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -short -timeout 20m ./pkg/... ./inventory/... ./templates/...
	CGO_ENABLED=1 go build -race -o bin/zkctl-race ./cmd/zkctl
	rm -f bin/race.*
	GORACE=log_path=$(CURDIR)/bin/race ZKCTL_TEST_BINARY=$(CURDIR)/bin/zkctl-race go test -count=1 -timeout 10m -skip TestNemesis ./test/checker/...
	@! cat bin/race.* 2>/dev/null || { echo "the servers raced, see above"; exit 1; }

lint: ## gofmt, vet, staticcheck
	@files=$$(gofmt -l cmd pkg inventory templates test); [ -z "$$files" ] || { echo "gofmt would change:"; echo "$$files"; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

e2e: test-deps ## end to end on real hosts in network namespaces (root)
	go test -timeout 25m -count=1 -v ./test/e2e/...

checker: ## linearizability under leader kills and partitions, for DURATION
	go test -timeout 20m -count=1 -v -skip TestNemesis ./test/checker/... -checker.duration=$(DURATION)

nemesis: DURATION := $(if $(filter file,$(origin DURATION)),10m,$(DURATION))
nemesis: test-deps ## hosts that lose power, network and disk space under clients, for DURATION (10m; root) on HOSTS (3) booted by INIT (plain)
	go test -timeout 0 -count=1 -v -run TestNemesis ./test/checker/... -nemesis.duration=$(DURATION) -nemesis.hosts=$(HOSTS) -nemesis.init=$(INIT)

simulate: ## whole ensembles on a clock, network and disks that fail, for SEEDS
	go test -timeout 0 -count=1 ./test/simulation/... -simulation.seeds $(SEEDS)

matrix: test-deps ## every mixture with servers of Apache's 3.4, 3.8 and 3.9, about an hour
	go test -timeout 0 -count=1 -v -run 'TestMixedEnsembles|TestLearners|TestDataDirectories|TestRollingMigration|TestRejoinMixed|TestSessionKinds' ./test/interop -interop.matrix

mutants: ## break the code on purpose, one way after the other: do the tests notice?
	go run ./test/mutants

bench: ## Go benchmarks, then zkctl beside Apache ZooKeeper
	go test -run '^$$' -bench . -benchmem ./pkg/...
	go run ./test/bench

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; done; done

golden: ## rewrite the golden files from what the code does now; read the diff
	go test ./templates ./cmd/zkctl -update
	go test ./pkg/server/zab -rewrite
	go test ./test/conformance -update # needs Java, and the archive for 3.9

cover: ## coverage of the packages
	go test -short -coverprofile=coverage.out ./pkg/... ./inventory/... ./templates/... && go tool cover -func=coverage.out | tail -1

clean: ## remove what the targets made
	rm -rf bin dist coverage.out
