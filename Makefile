# The targets that a newcomer needs are run, test, demo, check and bench.

GO      ?= go
VERSION ?= 0.1.0
LDFLAGS := -s -w
PLUGINS := buckets tables files

.PHONY: build run test demo check bench fmt proto clean

build: ## the host and every plugin, into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o bin/duckdb-storage ./cmd/duckdb-storage
	@for p in $(PLUGINS); do \
		CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o bin/plugins/plugin-$$p ./cmd/plugin-$$p || exit 1; \
	done

run: build ## serve ./data on 127.0.0.1:8080
	@bin/duckdb-storage serve --show-next-steps 2>>duckdb-storage.log

clean:
	rm -rf bin
