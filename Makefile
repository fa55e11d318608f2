# The targets that a newcomer needs: run, test, demo. Beside them: check, bench,
# crash and fuzz, which take longer or measure.

GO      ?= go
VERSION ?= 0.1.0
PLUGINS := buckets tables files
LDFLAGS := -s -w -X main.version=$(VERSION)
LINT    := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
BUF     := $(GO) tool -modfile=tools/go.mod buf
FORMAT  := cmd core plugins sdk test bench examples
# Modules of their own, as a third party has one.
MODULES := examples/labels

# How long and how often the long forms run.
CRASH_ROUNDS ?= 50
FAULT_ROUNDS ?= 3
FUZZ_TIME    ?= 30s

.PHONY: help build run test race demo examples check bench crash fuzz proto release-contract fmt clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

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

examples: build ## the plugins of third parties: their tests, their tutorial, in the service
	TEST_SERVICE_BIN=$(CURDIR)/bin EXAMPLES_REQUIRED=1 $(GO) test -count=1 ./test/examples ./test/docs

check: ## format, vet, lint, contract, rules of the house
	@test -z "$$(gofmt -l $(FORMAT))" || { gofmt -l $(FORMAT); exit 1; }
	$(GO) vet ./...
	$(BUF) lint
	$(BUF) breaking --against tools/contract/released
	$(LINT) run ./...
	@for m in $(MODULES); do \
		(cd $$m && $(GO) vet ./... && $(GO) tool -modfile=$(CURDIR)/tools/lint/go.mod golangci-lint run ./...) || exit 1; \
	done
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

release-contract: ## note the contract of a release, with which later ones are compared
	rm -rf tools/contract/released
	mkdir -p tools/contract/released/duckdbstorage/plugin/v1
	cp sdk/proto/duckdbstorage/plugin/v1/*.proto tools/contract/released/duckdbstorage/plugin/v1/

fmt: ## format
	gofmt -w $(FORMAT)

clean: ## bin/
	rm -rf bin
