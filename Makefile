# The targets that a newcomer needs: run, test, demo. Beside them: check, bench,
# crash and fuzz, which take longer or measure.

GO      ?= go
VERSION ?= 0.1.0
PLUGINS := buckets tables files
LDFLAGS := -s -w -X main.version=$(VERSION)
LINT    := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
BUF     := $(GO) tool -modfile=tools/go.mod buf

# How long and how often the long forms run.
CRASH_ROUNDS ?= 50
FAULT_ROUNDS ?= 3
FUZZ_TIME    ?= 30s

.PHONY: help build run test race demo check bench crash fuzz proto fmt clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

build: ## the host and every plugin, into bin/
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/duckdb-storage ./cmd/duckdb-storage
	@for p in $(PLUGINS); do \
		CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/plugins/plugin-$$p ./cmd/plugin-$$p || exit 1; \
	done

run: build ## serve ./data on 127.0.0.1:8080, log to duckdb-storage.log
	@bin/duckdb-storage serve --show-next-steps 2>>duckdb-storage.log || { tail -n 5 duckdb-storage.log; exit 1; }

test: build ## every test, in its short form
	TEST_SERVICE_BIN=$(CURDIR)/bin $(GO) test -timeout 14m ./...

race: ## the tests of the host's parts under the race detector
	$(GO) test -race -timeout 20m ./core/... ./sdk/... ./plugins/...

demo: build ## the main job by itself on 100,000 rows
	@$(GO) run ./test/demo -bin bin

check: ## format, vet, lint, contract, rules of the house
	@test -z "$$(gofmt -l cmd core plugins sdk test bench)" || { gofmt -l cmd core plugins sdk test bench; exit 1; }
	$(GO) vet ./...
	$(BUF) lint
	$(LINT) run ./...
	$(GO) test -count=1 ./test/arch

bench: build ## figures as ratios to raw DuckDB in the same run
	TEST_SERVICE_BIN=$(CURDIR)/bin $(GO) run ./bench

crash: build ## the crash suite in its long form
	TEST_SERVICE_BIN=$(CURDIR)/bin CRASH_ROUNDS=$(CRASH_ROUNDS) FAULT_ROUNDS=$(FAULT_ROUNDS) FAULTS_REQUIRED=1 \
		$(GO) test -count=1 -v -timeout 60m ./test/crash ./test/faults

fuzz: ## each fuzz test for FUZZ_TIME
	@grep -rl --include=*_test.go '^func Fuzz' core plugins sdk | while read f; do \
		for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$f); do \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZ_TIME) ./$$(dirname $$f) || exit 1; \
		done; \
	done

proto: ## the generated code of the contract
	$(BUF) generate

fmt: ## format
	gofmt -w cmd core plugins sdk test bench

clean: ## bin/
	rm -rf bin
